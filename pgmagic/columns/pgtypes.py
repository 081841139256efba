"""PostgreSQL's types: which come in binary form, which as the server's own text.

https://www.postgresql.org/docs/current/catalog-pg-type.html
"""

from enum import Enum, IntEnum
from typing import Final

from pgmagic.outcome import PgType

__all__ = ["BUILTIN", "Cast", "Layout", "cast_of", "layout_of", "wire_type"]

BOOL: Final = 16
BYTEA: Final = 17
CHAR: Final = 18
NAME: Final = 19
INT8: Final = 20
INT2: Final = 21
INT4: Final = 23
TEXT: Final = 25
OID: Final = 26
JSON: Final = 114
CIDR: Final = 650
FLOAT4: Final = 700
FLOAT8: Final = 701
UNKNOWN: Final = 705
INET: Final = 869
BPCHAR: Final = 1042
VARCHAR: Final = 1043
DATE: Final = 1082
TIME: Final = 1083
TIMESTAMP: Final = 1114
TIMESTAMPTZ: Final = 1184
INTERVAL: Final = 1186
NUMERIC: Final = 1700
REFCURSOR: Final = 1790
VOID: Final = 2278
CSTRING: Final = 2275
UUID: Final = 2950
JSONB: Final = 3802

# Name, oid and the oid of the array type (0: none). The server never renumbers them.
_BUILTIN: Final = """
bool 16 1000, bytea 17 1001, char 18 1002, name 19 1003, int8 20 1016, int2 21 1005,
int2vector 22 1006, int4 23 1007, regproc 24 1008, text 25 1009, oid 26 1028, tid 27 1010,
xid 28 1011, cid 29 1012, oidvector 30 1013, json 114 199, xml 142 143, pg_node_tree 194 0,
point 600 1017, lseg 601 1018, path 602 1019, box 603 1020, polygon 604 1027, line 628 629,
cidr 650 651, float4 700 1021, float8 701 1022, unknown 705 0, circle 718 719,
macaddr8 774 775, money 790 791, macaddr 829 1040, inet 869 1041, aclitem 1033 1034,
bpchar 1042 1014, varchar 1043 1015, date 1082 1182, time 1083 1183, timestamp 1114 1115,
timestamptz 1184 1185, interval 1186 1187, timetz 1266 1270, bit 1560 1561,
varbit 1562 1563, numeric 1700 1231, refcursor 1790 2201, regprocedure 2202 2207,
regoper 2203 2208, regoperator 2204 2209, regclass 2205 2210, regtype 2206 2211,
record 2249 2287, cstring 2275 1263, anyarray 2277 0, void 2278 0, uuid 2950 2951,
txid_snapshot 2970 2949, pg_lsn 3220 3221, pg_ndistinct 3361 0, pg_dependencies 3402 0,
tsvector 3614 3643, tsquery 3615 3645, regconfig 3734 3735, regdictionary 3769 3770,
jsonb 3802 3807, int4range 3904 3905, numrange 3906 3907, tsrange 3908 3909,
tstzrange 3910 3911, daterange 3912 3913, int8range 3926 3927, jsonpath 4072 4073,
regnamespace 4089 4090, regrole 4096 4097, regcollation 4191 4192, int4multirange 4451 6150,
nummultirange 4532 6151, tsmultirange 4533 6152, tstzmultirange 4534 6153,
datemultirange 4535 6155, int8multirange 4536 6157, pg_mcv_list 5017 0,
pg_snapshot 5038 5039, xid8 5069 271
"""


def _builtin() -> dict[int, PgType]:
    types = {}
    for entry in _BUILTIN.split(","):
        name, oid, array = entry.split()
        scalar = types[int(oid)] = PgType(oid=int(oid), name=name)
        if int(array):
            types[int(array)] = array_of(scalar, oid=int(array))
    return types


def array_of(element: PgType, *, oid: int = 0) -> PgType:
    """Give the array type of an element type. `oid` is 0 where nobody asks for it."""
    return PgType(
        oid=oid, name=f"{element.name}[]", schema=element.schema, kind="array", element=element
    )


BUILTIN: Final = _builtin()


class Layout(IntEnum):
    """How the values of a column lie in memory, before anything is made of them.

    The numbers are shared with the compiled decoder.
    """

    BOOL = 0
    INT16 = 1
    INT32 = 2
    INT64 = 3
    UINT32 = 4
    FLOAT32 = 5
    FLOAT64 = 6
    FIXED16 = 7  # sixteen bytes as they came: uuid, interval
    BYTES = 8  # any number of bytes as they came
    TEXT = 9  # UTF-8
    JSONB = 10  # UTF-8 behind one byte that tells the version


WIDTHS: Final = {
    Layout.BOOL: 1,
    Layout.INT16: 2,
    Layout.INT32: 4,
    Layout.INT64: 8,
    Layout.UINT32: 4,
    Layout.FLOAT32: 4,
    Layout.FLOAT64: 8,
    Layout.FIXED16: 16,
}

_LAYOUTS: Final = {
    BOOL: Layout.BOOL,
    BYTEA: Layout.BYTES,
    CHAR: Layout.BYTES,
    NAME: Layout.TEXT,
    INT8: Layout.INT64,
    INT2: Layout.INT16,
    INT4: Layout.INT32,
    TEXT: Layout.TEXT,
    OID: Layout.UINT32,
    JSON: Layout.TEXT,
    CIDR: Layout.BYTES,
    FLOAT4: Layout.FLOAT32,
    FLOAT8: Layout.FLOAT64,
    UNKNOWN: Layout.TEXT,
    INET: Layout.BYTES,
    BPCHAR: Layout.TEXT,
    VARCHAR: Layout.TEXT,
    DATE: Layout.INT32,
    TIME: Layout.INT64,
    TIMESTAMP: Layout.INT64,
    TIMESTAMPTZ: Layout.INT64,
    INTERVAL: Layout.FIXED16,
    NUMERIC: Layout.BYTES,
    REFCURSOR: Layout.TEXT,
    VOID: Layout.TEXT,
    CSTRING: Layout.TEXT,
    UUID: Layout.FIXED16,
    JSONB: Layout.JSONB,
}


class Cast(Enum):
    """What the server is asked to do with a value before it sends it."""

    NONE = "none"
    TEXT = "text"
    TEXT_ARRAY = "text[]"


def wire_type(type_: PgType) -> PgType:
    """Tell as which type the values of a type arrive.

    A type that has no decoder arrives as text, an array of such a type as an array of text.
    """
    match type_.kind:
        case "domain" if type_.element is not None:
            return wire_type(type_.element)
        case "array" if type_.element is not None:
            element = wire_type(type_.element)
            return array_of(BUILTIN[TEXT] if element.kind == "array" else element)
        case "enum":
            return type_
        case _:
            return type_ if type_.oid in _LAYOUTS else BUILTIN[TEXT]


def cast_of(type_: PgType) -> Cast:
    """Tell what the server has to do, so that the values arrive as `wire_type` says."""
    match type_.kind:
        case "domain" if type_.element is not None:
            return cast_of(type_.element)
        case "array" if type_.element is not None:
            plain = cast_of(type_.element) is Cast.NONE and not _is_array(type_.element)
            return Cast.NONE if plain else Cast.TEXT_ARRAY
        case "enum":
            return Cast.NONE
        case _:
            return Cast.NONE if type_.oid in _LAYOUTS else Cast.TEXT


def _is_array(type_: PgType) -> bool:
    """Whether a type is an array, or a domain over one."""
    while type_.kind == "domain" and type_.element is not None:
        type_ = type_.element
    return type_.kind == "array"


def layout_of(type_: PgType) -> Layout:
    """Tell how the values of a type lie in memory once they have arrived."""
    arriving = wire_type(type_)
    if arriving.kind == "array":
        return Layout.BYTES
    return _LAYOUTS.get(arriving.oid, Layout.TEXT)
