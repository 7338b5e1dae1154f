"""What a provider's answer to a check says."""

import json

_REASON_LENGTH = 300


def reason_in(body: bytes) -> str:
    """What a provider says of a refusal in a JSON answer; empty where it says nothing we know how to find.

    source: Salesforce REST ([{message, errorCode}]), OAuth (error, error_description), GitHub (message)
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    answer = answer[0] if isinstance(answer, list) and answer else answer
    if not isinstance(answer, dict):
        return ""
    words = [answer.get(key) for key in ("errorCode", "error", "error_description", "message")]
    return ": ".join(word for word in words if isinstance(word, str))[:_REASON_LENGTH]
