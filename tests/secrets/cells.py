"""What a notebook runs before and after its cells, so that it can be searched."""

__all__ = ["BEGIN", "REMAINS"]

BEGIN = """
import logging, os
logging.basicConfig(filename="debug.log", level=logging.DEBUG)
for name in ("pgmagic", "asyncpg", "asyncio"):
    logging.getLogger(name).setLevel(logging.DEBUG)
import warnings, pandas as pd
warnings.simplefilter("ignore")
%load_ext pgmagic
client = get_ipython().pgmagic.client
wanted = 1
"""
REMAINS = """
import copy, os, pickle, urllib.request
from contextlib import suppress
from dataclasses import asdict
with open("remains.bin", "wb") as file:
    def keep(thing):
        for write in (repr, str, lambda it: repr(vars(it)), lambda it: repr(asdict(it)),
                      lambda it: repr(copy.copy(it)), pickle.dumps, lambda it: repr(it.attrs)):
            with suppress(Exception):
                written = write(thing)
                file.write(written.encode() if isinstance(written, str) else written)
    # A module is left out: that of the environment holds what that holds.
    mine = [each for each in list(get_ipython().user_ns.values()) if type(each) is not type(os)]
    for thing in [client, *client.databases.values(), *client._pools.values(),
                  *client.statistics(), *Out.values(), get_ipython().pgmagic,
                  *get_ipython().pgmagic.groups, *mine]:
        keep(thing)
    for pool in client._pools.values():
        keep(pool._connector)
        with suppress(Exception):
            keep(pool.endpoint)
    [url] = [s.url for g in get_ipython().pgmagic.groups
             if (s := getattr(g, "_server", None)) is not None]
served = []
def look():
    for path in ("/health", "/metrics", "/metrics/by_env", "/openapi.json", "/none"):
        for accept in ("application/json", "text/plain", "application/openmetrics-text"):
            asked = urllib.request.Request(url + path, headers={"Accept": accept})
            try:
                served.append(urllib.request.urlopen(asked, timeout=5).read())
            except OSError as error:
                served.append(getattr(error, "read", bytes)())
import asyncio
await asyncio.to_thread(look)
open("served.txt", "wb").write(b"\\n".join(served))
"""
