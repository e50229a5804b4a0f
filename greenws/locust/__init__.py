"""Load tests with Locust: a user that has WebSockets, and rows for what they do.

Importing this module imports Locust, which patches the process. greenws itself never does.
"""

from __future__ import annotations

from .answer import Answer
from .user import WebSocketUser
from .user_connection import UserConnection

__all__ = ["Answer", "UserConnection", "WebSocketUser"]
