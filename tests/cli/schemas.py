"""The schemas of docs/schema, read strictly: a field that they do not name is an error."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER = Path(__file__).parents[2] / "docs" / "schema"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def closed(schema: Any) -> Any:
    """The same, but nothing more than what is described is valid."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        strict["unevaluatedProperties"] = False
    return strict


def validator(name: str) -> Draft202012Validator:
    head: Resource[Any] = Resource.from_contents(read("head"))
    registry: Registry[Any] = Registry().with_resource("head.json", head)
    schema = read("head") if name == "head" else closed(read(name))
    return Draft202012Validator(schema, registry=registry)


def faults(document: dict[str, Any], name: str = "") -> list[str]:
    """What is wrong with one object of output, by the schema that it names, or by ``name``."""
    if not name:
        name = document.get("schema", "").removeprefix("pirate.").removesuffix("/1")
    errors = validator("head" if name == "usage" else name).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in errors]
