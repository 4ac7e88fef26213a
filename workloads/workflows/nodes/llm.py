"""Nodes of type `llm`: they send a chat to a model by OpenAI's API and count the tokens.

The endpoint is the tenant's own or the platform's, then those that the tenant's settings name as fall-backs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

from scheduling.kit.base import PermanentError
from scheduling.kit.http import Limits, open_header
from workloads.model_endpoints.answer_schema import AnswerMismatchError, read_answer
from workloads.model_endpoints.answers import ChatAnswer
from workloads.model_endpoints.chat import CHAT_LIMITS, Chat, chat
from workloads.model_endpoints.endpoints import ModelEndpoint, chat_endpoint
from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode
from workloads.workflows.tenant_settings import LLM_FALLBACKS, LLM_KEY, LLM_MODEL, LLM_URL

_OPTIONS: Final = ("temperature", "max_tokens", "max_completion_tokens", "response_format", "tools", "tool_choice")
_REPAIR: Final = "Your answer was refused. {fault} Answer again, with nothing but the corrected JSON."

type Open = Callable[[NodeContext], ModelEndpoint]


@dataclass(frozen=True, slots=True)
class _Request:
    """What a node sends to whichever endpoint answers."""

    place: NodeContext
    messages: Sequence[Mapping[str, str]]
    options: Mapping[str, Any]

    def prepare(self, endpoints: Sequence[Open], *, is_fallback: bool = False) -> PreparedNode:
        """Return the request to the first endpoint, with the others as fall-backs."""
        endpoint = endpoints[0](self.place)
        models = [self.place.config.get("model", ""), endpoint.model]
        # A node names a model of the first endpoint; a fall-back may call its own differently.
        model = next(filter(None, reversed(models) if is_fallback else models), "")
        if not model:
            raise PermanentError("Neither the node nor a setting names a model.", code="no_model")
        rest = endpoints[1:]
        return PreparedNode(
            inputs={"model": model, "messages": self.messages, **self.options},
            later=partial(self.ask, endpoint, model),
            dependency=endpoint.dependency,
            usual_seconds=CHAT_LIMITS.total_seconds,
            fallback=partial(self.prepare, rest, is_fallback=True) if rest else None,
        )

    async def ask(self, endpoint: ModelEndpoint, model: str) -> NodeOutput:
        """Return the outputs for the endpoint's answer, which is requested once more if it does not match."""
        answer = await self._chat(endpoint, self.messages, model)
        answers, value = [answer], None
        if "response_format" in self.options and not answer.tool_calls:
            try:
                value = self._read(answer)
            except AnswerMismatchError as error:
                said = {"role": "assistant", "content": answer.text}
                repair = {"role": "user", "content": _REPAIR.format(fault=error)}
                answer = await self._chat(endpoint, [*self.messages, said, repair], model)
                answers.append(answer)
                value = self._read_repaired(answer)
        outputs = {
            "text": answer.text,
            "json": value,
            "tool_calls": [asdict(call) for call in answer.tool_calls],
            "model": answer.model,
            "endpoint": endpoint.name,
            "finish_reason": answer.finish_reason,
            "prompt_tokens": sum(one.prompt_tokens for one in answers),
            "completion_tokens": sum(one.completion_tokens for one in answers),
        }
        return NodeOutput(outputs, tokens=sum(one.total_tokens for one in answers))

    async def _chat(self, endpoint: ModelEndpoint, messages: Sequence[Mapping[str, str]], model: str) -> ChatAnswer:
        stream = partial(self.place.job.stream, str(self.place.key))
        # An attempt that failed may have streamed a part.
        stream("", restart=True)
        config, seconds = self.place.config, self.place.node.timeout_seconds
        asked = Chat(messages, model, self.options, config.get("stream", True), config.get("stream_usage", True))
        limits: Limits = replace(CHAT_LIMITS, read_seconds=seconds, total_seconds=seconds)
        return await chat(endpoint, asked, limits=limits, on_text=stream)

    def _read(self, answer: ChatAnswer) -> Any:
        return read_answer(answer.text, self.options["response_format"].get("json_schema", {}).get("schema"))

    def _read_repaired(self, answer: ChatAnswer) -> Any:
        try:
            return self._read(answer)
        except AnswerMismatchError as error:
            raise PermanentError(f"The model's second answer is refused too. {error}", code="answer_mismatch") from None


def prepare(place: NodeContext) -> PreparedNode:
    """Render the messages now, and return the work that sends them and streams the answer on the event loop."""
    config = place.config
    options = {**config.get("extra_body", {}), **{name: config[name] for name in _OPTIONS if name in config}}
    return _Request(place, _messages(place), options).prepare([_first, *_fallbacks(place)])


def _first(place: NodeContext) -> ModelEndpoint:
    settings = place.job.settings
    url = settings[LLM_URL.key]
    key = open_header(place.job.tenant_id, url, settings[LLM_KEY.key]) if url else ""
    return chat_endpoint(url=url, key=key, model=settings[LLM_MODEL.key])


def _fallbacks(place: NodeContext) -> list[Open]:
    """Return what opens the fall-backs that the node names, or all of the tenant's, in order."""
    known = {one["name"]: one for one in place.job.settings[LLM_FALLBACKS.key]}
    names = place.config.get("fallbacks", list(known))
    if strange := [name for name in names if name not in known]:
        raise PermanentError(f"No setting declares the endpoint {strange[0]!r}.", code="unknown_endpoint")
    return [partial(_open, known[name]) for name in names]


def _open(declared: Mapping[str, str], place: NodeContext) -> ModelEndpoint:
    url = declared.get("url", "")
    key = open_header(place.job.tenant_id, url, declared.get("key", "")) if url else ""
    return chat_endpoint(url=url, key=key, model=declared.get("model", ""), name=declared["name"])


def _messages(place: NodeContext) -> list[dict[str, str]]:
    render, config = place.reading.render, place.config
    messages = [{"role": "system", "content": render(config["system"])}] if "system" in config else []
    if "prompt" in config:
        return [*messages, {"role": "user", "content": render(config["prompt"])}]
    return messages + [
        {"role": message["role"], "content": render(message["content"])} for message in config["messages"]
    ]
