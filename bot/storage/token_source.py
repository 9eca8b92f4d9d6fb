"""Where the day's token is put by the webhook: a secret of AWS Secrets Manager. Read again and again.

Holds nothing and judges nothing: whether a token works, a real call says. No text of an error holds a token.
"""

from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_TEXT_BYTES_MAX: Final = 16 * 1024
_NOT_YET: Final = "ResourceNotFoundException"  # no such secret, or one without a value so far
_ADVICE: Final = {
    "AccessDeniedException": "allow secretsmanager:GetSecretValue on it to this machine's role",
    "UnrecognizedClientException": "check the machine's role, or its AWS_ACCESS_KEY_ID",
}


class TokenSourceFailed(Exception):
    """It could not be read this time. Says what to check; worth another try."""


def read_token(source: str) -> str:
    """The token in `secretsmanager:NAME`; "" when none is there yet. Blocking: for a thread.

    The text is the token itself or JSON with an `access_token` (as the webhook stores it). Raises
    TokenSourceFailed; ValueError for a source of another kind.
    """
    kind, _, name = source.partition(":")
    if not name or kind != "secretsmanager":
        raise ValueError(f"{source!r} is no token source: write secretsmanager:NAME")
    return _token_in(_secret(name), source)


def ask_for_token(target: str) -> None:
    """Start the request of a token by `lambda:NAME`; it is not waited for. Blocking: for a thread.

    Raises TokenSourceFailed.
    """
    kind, _, name = target.partition(":")
    if kind != "lambda" or not name:
        raise ValueError(f"{target!r} can't be asked for a token: write lambda:NAME")
    _aws("lambda", f"invoke {name}", lambda client: client.invoke(FunctionName=name, InvocationType="Event"))


def _secret(name: str) -> str:
    answer = _aws("secretsmanager", f"read {name}", lambda client: client.get_secret_value(SecretId=name))
    return "" if answer is None else str(answer.get("SecretString", ""))


def _token_in(text: str, source: str) -> str:
    text = text.strip()
    if len(text) > _TEXT_BYTES_MAX:
        raise TokenSourceFailed(f"{source}: is too long to be a token")
    if not text.startswith("{"):
        return text
    try:
        token = orjson.loads(text).get("access_token")
    except ValueError:
        raise TokenSourceFailed(f"{source}: is damaged JSON; put a token there again") from None
    if not isinstance(token, str):
        raise TokenSourceFailed(f"{source}: has no access_token; put a token there again")
    return token.strip()


def _aws(service: str, what: str, call: Any) -> Any:
    """One call; None when the named thing is not there (yet)."""
    import boto3  # costs 10 MB and 0.2 s: only where it is used
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = boto3.client(service, config=Config(connect_timeout=5, read_timeout=10))
        return call(client)
    except ClientError as error:
        if service == "secretsmanager" and _code(error) == _NOT_YET:
            return None
        advice = _ADVICE.get(_code(error), "look it up in AWS's documentation")
        raise TokenSourceFailed(f"{what}: AWS said {_code(error)}; {advice}") from None
    except (BotoCoreError, ValueError) as error:
        raise TokenSourceFailed(f"{what}: AWS was not reached ({type(error).__name__})") from None


def _code(error: "ClientError") -> str:
    return str(error.response["Error"]["Code"])
