"""What a template comes to: its resources with every expression worked out, without Azure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from fed_assets.azure.deployment import Deployment, Finding, Resource
from fed_assets.azure.expressions import Call, Fault, Literal, Node, is_expression, read
from fed_assets.azure.functions import Later, Place, call, joined_id
from fed_assets.azure.parameters import value_of

DEPLOYMENT = "Microsoft.Resources/deployments"
RESOURCE_KEYS = frozenset(
    {"type", "apiVersion", "name", "location", "dependsOn", "properties", "copy", "scope", "sku"}
    | {"kind", "identity", "tags", "resourceGroup"}
)
TEMPLATE_KEYS = frozenset(
    {"$schema", "contentVersion", "parameters", "variables", "resources", "outputs"}
)


def evaluate(
    template: Mapping[str, Any],
    given: Mapping[str, Any],
    place: Place,
    *,
    name: str = "main",
) -> Deployment:
    """Works a template out.

    Args:
        template: it.
        given: the values of its parameters; those that are left out have a default.
        place: where it would be deployed.
        name: how findings call it.

    Returns:
        Its resources, those of nested templates among them. What cannot be worked out is left out,
        and is a finding.
    """
    return _Evaluation(template, given, place, name).whole()


class _Evaluation:
    """Works out one template; nested ones have one each."""

    def __init__(
        self, template: Mapping[str, Any], given: Mapping[str, Any], place: Place, name: str
    ) -> None:
        self._template = template
        self._place = place
        self._name = name
        self._done = Deployment()
        self._parameters: dict[str, Any] = {}
        self._used: set[tuple[str, str]] = set()
        self._nested: dict[str, Mapping[str, Any]] = {}
        self._index: int | None = None
        self._may_ask = True
        self._asked: list[str] = []
        self._take_parameters(given)

    def whole(self) -> Deployment:
        for key in self._template.keys() - TEMPLATE_KEYS:
            self._found("", f"`{key}` is not known here")
        bodies = self._template.get("resources", [])
        # Outputs of nested templates are asked for by what stands beside them.
        for body in sorted(bodies, key=lambda each: each.get("type") != DEPLOYMENT):
            self._resources(body)
        for name, said in self._template.get("outputs", {}).items():
            with_where = f"outputs.{name}"
            self._done.outputs[name] = {"value": self._attempt(with_where, said["value"])}
        for kind in ("parameters", "variables"):
            for name in self._template.get(kind, {}):
                if (kind, name) not in self._used:
                    self._found(f"{kind}.{name}", "nothing uses it")
        return self._done

    def _found(self, where: str, what: str) -> None:
        finding = Finding(f"{self._name} {where}".strip(), what)
        if finding not in self._done.findings:
            self._done.findings.append(finding)

    def _attempt(self, where: str, value: Any) -> Any:
        try:
            return self._worked_out(value)
        except Fault as fault:
            self._found(where, str(fault))
            return None

    def _take_parameters(self, given: Mapping[str, Any]) -> None:
        said = self._template.get("parameters", {})
        for name in given.keys() - said.keys():
            self._found(f"parameters.{name}", "it is given, and not declared")
        for name, declared in said.items():
            try:
                default = self._worked_out(declared.get("defaultValue"))
                self._parameters[name] = value_of(declared, given.get(name, default))
            except Fault as fault:
                self._found(f"parameters.{name}", str(fault))

    def _resources(self, body: Mapping[str, Any]) -> None:
        kind = body.get("type", "without a type")
        for key in body.keys() - RESOURCE_KEYS:
            self._found(kind, f"`{key}` is not known here")
        try:
            for index in self._copies(body):
                self._index = index
                self._resource(kind, body)
        except Fault as fault:
            self._found(f"{kind} {body.get('name', '')}", str(fault))
        self._index = None

    def _copies(self, body: Mapping[str, Any]) -> Iterator[int | None]:
        if "copy" not in body:
            yield None
            return
        _only(body["copy"], {"name", "count"}, "copy")
        count = self._worked_out(body["copy"]["count"])
        if not isinstance(count, int) or not 0 <= count <= 800:
            raise Fault(f"copies count from 0 to 800, and here {count!r}")
        yield from range(count)

    def _resource(self, kind: str, body: Mapping[str, Any]) -> None:
        # What stands in these must be known before anything is deployed.
        self._may_ask = False
        try:
            name = self._worked_out(body["name"])
            needs = tuple(self._worked_out(each) for each in body.get("dependsOn", []))
            scope = self._worked_out(body.get("scope", ""))
            group = self._worked_out(body.get("resourceGroup", self._place.group))
        finally:
            self._may_ask = True
        place = replace(self._place, group=group)
        own = f"{scope or place.group_id}/providers/{joined_id(kind, name.split('/'))}"
        self._asked = []
        skipped = {"type", "name", "dependsOn", "copy", "resourceGroup", "scope"}
        rest = {key: value for key, value in body.items() if key not in skipped}
        if kind == DEPLOYMENT:
            self._deployment(own, name, rest, place)
            outer = {key: rest["properties"][key] for key in ("mode", "parameters")}
            rest = {**rest, "properties": outer}
        worked_out = {
            key: self._attempt(f"{kind} {name} {key}", value) for key, value in rest.items()
        }
        self._done.resources.append(
            Resource(own, kind, name, place, worked_out, needs, tuple(self._asked), self._name)
        )

    def _deployment(self, own: str, name: str, body: Mapping[str, Any], place: Place) -> None:
        properties = body["properties"]
        options = {"scope": "Inner"}
        known = {"mode", "expressionEvaluationOptions", "parameters", "template"}
        _only(properties, known, "a nested template")
        if properties.get("expressionEvaluationOptions") != options:
            raise Fault("a nested template is worked out in its own scope here, and says so")
        if properties.get("mode") != "Incremental":
            raise Fault("a nested template adds to its group; another mode would empty it first")
        given = {
            key: self._attempt(f"{name} parameters.{key}", said["value"])
            for key, said in properties.get("parameters", {}).items()
        }
        inner = evaluate(properties["template"], given, place, name=name)
        self._nested[own] = {"outputs": inner.outputs}
        self._done.resources += inner.resources
        self._done.findings += inner.findings

    def _worked_out(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {self._key(key): self._worked_out(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._worked_out(each) for each in value]
        if isinstance(value, str) and is_expression(value):
            return self._node(read(value))
        if isinstance(value, str) and value.startswith("[["):
            return value[1:]
        return value

    def _key(self, key: str) -> str:
        return str(self._worked_out(key))

    def _node(self, node: Node) -> Any:
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Call):
            return self._call(node.name, [self._node(each) for each in node.arguments])
        return _part(self._node(node.whole), self._node(node.part))

    def _call(self, name: str, arguments: list[Any]) -> Any:
        if name == "parameters":
            return self._named("parameters", arguments, self._parameters)
        if name == "variables":
            variables = self._template.get("variables", {})
            return self._worked_out(self._named("variables", arguments, variables))
        if name == "copyIndex":
            if self._index is None or arguments:
                raise Fault("copyIndex counts the copies of a resource, and here are none")
            return self._index
        if name == "reference":
            return self._reference(arguments)
        return call(name, arguments, self._place)

    def _named(self, kind: str, arguments: list[Any], known: Mapping[str, Any]) -> Any:
        if len(arguments) != 1:
            raise Fault(f"{kind} takes one name, and not {arguments!r}")
        (name,) = arguments
        if name not in self._template.get(kind, {}):
            raise Fault(f"{kind}('{name}') is not declared")
        self._used.add((kind, name))
        if name not in known:
            raise Fault(f"{kind}('{name}') has no value")
        return known[name]

    def _reference(self, arguments: list[Any]) -> Any:
        if not self._may_ask:
            raise Fault("reference() is known too late for a name, a scope or dependsOn")
        own = str(arguments[0]) if arguments else ""
        if not own.startswith("/subscriptions/"):
            raise Fault(f"reference() is given the whole id here, and not {own!r}")
        self._asked.append(own)
        return self._nested.get(own) or Later(own)


def _only(said: Mapping[str, Any], known: set[str], where: str) -> None:
    for name in sorted(said.keys() - known):
        raise Fault(f"`{name}` is not known here in {where}")


def _part(whole: Any, part: Any) -> Any:
    if isinstance(whole, Later):
        return whole.part(part)
    if isinstance(whole, Mapping) and part in whole:
        return whole[part]
    if isinstance(whole, list) and isinstance(part, int) and 0 <= part < len(whole):
        return whole[part]
    raise Fault(f"there is no part {part!r} in {whole!r}")
