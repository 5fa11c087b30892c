"""A small web service: it says hello, and from where."""

import os
import socket

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    return f"{os.environ.get('GREETING', 'hello')} from {socket.gethostname()}\n"


@app.get("/healthz")
def healthz() -> str:
    return "ok\n"
