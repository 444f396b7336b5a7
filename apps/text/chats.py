"""Chats as plain text, which any model of text can learn: each message is its role, a colon and its content.

    USER: What is a fork?
    ASSISTANT: Something to eat with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.errors import FourfoldError

USER, ASSISTANT = "user", "assistant"
Message = Mapping[str, str]
"""A message: its "role" and its "content"."""


def turn(role: str) -> str:
    """How a message of a role begins."""
    return f"{role.strip().upper()}:"


def chat_text(messages: object, where: str = "messages") -> str:
    """A chat as text, a line break between two messages.

    Raises:
        FourfoldError: it is no list of messages, each with a role and content of text; `where` it stands.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise FourfoldError(f'{where}: a chat must be a list of messages, [{{"role": "user", "content": "..."}}, ...]')
    lines = []
    for number, message in enumerate(messages, start=1):
        role, content = (message.get(key) for key in ("role", "content")) if isinstance(message, Mapping) else ("", "")
        if not isinstance(role, str) or not isinstance(content, str) or not role.strip() or "\n" in role:
            raise FourfoldError(f'{where}, message {number}: must have a "role" and a "content", both of text')
        lines.append(f"{turn(role)} {content.strip()}")
    return "\n".join(lines)
