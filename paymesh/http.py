"""HTTP to programs of this mesh: past every proxy that the environment names.

Who is asynchronous has aiohttp, which asks no proxy as long as nobody sets its `trust_env`.
"""

import urllib.request

open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
"""As urllib.request.urlopen, which would ask the proxy."""
