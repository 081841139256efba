"""Health and metrics of all pools over HTTP, for this machine only.

Needs FastAPI and uvicorn: `pip install 'pgmagic[http]'`.
"""

from pgmagic.http.serving import StatisticsServer

__all__ = ["StatisticsServer"]
