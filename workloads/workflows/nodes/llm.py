"""Nodes of type `llm`: they send a chat to a model by OpenAI's API and count the tokens.

The model is the one that the node names, else the tenant's default, else the platform's. The endpoints that the node
names as fall-backs are called in order if its endpoint is down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from scheduling.kit.base import PermanentError
from workloads.model_endpoints.answer_schema import AnswerMismatchError, read_answer
from workloads.model_endpoints.answers import ChatAnswer
from workloads.model_endpoints.chat import Chat, chat
from workloads.model_endpoints.endpoints import MODEL_LIMITS, ModelConfiguration
from workloads.model_endpoints.limits import estimate_tokens
from workloads.model_endpoints.lookup import get_model
from workloads.model_endpoints.usage import AnsweredRequest
from workloads.workflows.nodes.work import NodeContext, NodeOutput, PreparedNode

_OPTIONS: Final = ("temperature", "max_tokens", "max_completion_tokens", "response_format", "tools", "tool_choice")
_REPAIR: Final = "Your answer was refused. {fault} Answer again, with nothing but the corrected JSON."


@dataclass(frozen=True, slots=True)
class _Request:
    """What a node sends to whichever endpoint answers."""

    place: NodeContext
    messages: Sequence[Mapping[str, str]]
    options: Mapping[str, Any]

    def prepare(self, endpoints: Sequence[str], *, is_fallback: bool = False) -> PreparedNode:
        """Return the request to the first endpoint, with the others as fall-backs.

        Raise `PostponedError` if a limit of the model lets the node wait.
        """
        tenant_id, named = self.place.job.tenant_id, self.place.config.get("model", "")
        # A node names a model of its endpoint; a fall-back may call its own differently.
        model = get_model(tenant_id, endpoint=endpoints[0], model=named, is_strict=not is_fallback)
        tokens, rest = estimate_tokens(self.messages, self.options), endpoints[1:]
        self.place.admit(model, tokens)
        return PreparedNode(
            inputs={"model": model.model, "messages": self.messages, **self.options},
            later=partial(self.ask, model, tokens),
            dependency=model.dependency,
            usual_seconds=(model.limits or MODEL_LIMITS).total_seconds,
            fallback=partial(self.prepare, rest, is_fallback=True) if rest else None,
        )

    async def ask(self, model: ModelConfiguration, admitted: int) -> NodeOutput:
        """Return the outputs for the model's answer, which is requested once more if it does not match."""
        answer = await self._chat(model, self.messages, admitted)
        answers, value = [answer], None
        if "response_format" in self.options and not answer.tool_calls:
            try:
                value = self._read(answer)
            except AnswerMismatchError as error:
                said = {"role": "assistant", "content": answer.text}
                repair = {"role": "user", "content": _REPAIR.format(fault=error)}
                answer = await self._chat(model, [*self.messages, said, repair], None)
                answers.append(answer)
                value = self._read_repaired(answer)
        outputs = {
            "text": answer.text,
            "json": value,
            "tool_calls": [asdict(call) for call in answer.tool_calls],
            "model": answer.model,
            "endpoint": model.endpoint,
            "finish_reason": answer.finish_reason,
            "prompt_tokens": sum(one.prompt_tokens for one in answers),
            "completion_tokens": sum(one.completion_tokens for one in answers),
        }
        return NodeOutput(outputs, tokens=sum(one.total_tokens for one in answers))

    async def _chat(
        self, model: ModelConfiguration, messages: Sequence[Mapping[str, str]], admitted: int | None
    ) -> ChatAnswer:
        stream = partial(self.place.job.stream, str(self.place.key))
        # An attempt that failed may have streamed a part.
        stream("", restart=True)
        config = self.place.config
        asked = Chat(messages, model.model, self.options, config.get("stream", True), config.get("stream_usage", True))
        answer = await chat(model, asked, limits=self.place.limits_of(model), on_text=stream)
        self.place.usage.append(AnsweredRequest(model, answer.prompt_tokens, answer.completion_tokens, admitted))
        return answer

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
    endpoints = [config.get("endpoint", ""), *config.get("fallbacks", ())]
    return _Request(place, _messages(place), options).prepare(endpoints)


def _messages(place: NodeContext) -> list[dict[str, str]]:
    render, config = place.reading.render, place.config
    messages = [{"role": "system", "content": render(config["system"])}] if "system" in config else []
    if "prompt" in config:
        return [*messages, {"role": "user", "content": render(config["prompt"])}]
    return messages + [
        {"role": message["role"], "content": render(message["content"])} for message in config["messages"]
    ]
