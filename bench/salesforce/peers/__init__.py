"""Everybody else's ways from the same org, each as its makers publish it, in an environment of its own.

They log in as they always do: who only knows login.salesforce.com takes the org for an HTTPS proxy. Settings are their
defaults, but for what makes them faster here, which is told beside it. sling and ingestr from 1.0 on download programs
when they first start, and cannot take part.
"""

from bench.salesforce.peers.airbyte import AIRBYTE
from bench.salesforce.peers.dlt import DLT, INGESTR
from bench.salesforce.peers.singer import SINGER

PEERS = (INGESTR, DLT, SINGER, AIRBYTE)
