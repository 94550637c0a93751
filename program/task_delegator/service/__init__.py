"""Serve a loaded program to other processes: HTTP, MCP, a page for reviewers (extra ``serve``)."""

from .access import Access, Caller, Token, add_token, read_tokens, token_sha256
from .app import create_app
from .desk import Desk
from .run import check_address, listen, serve
from .tools import create_tools

__all__ = [
    "Access",
    "Caller",
    "Desk",
    "Token",
    "add_token",
    "check_address",
    "create_app",
    "create_tools",
    "listen",
    "read_tokens",
    "serve",
    "token_sha256",
]
