#!/usr/bin/env python3
"""Checks an OpenAPI 3.1 document, and answers against it, with the public packages for that.

    check_openapi.py DOCUMENT ANSWERS

DOCUMENT is JSON. ANSWERS has one JSON object a line: `operation` (the operationId), `status`, `answer`.
Prints what is wrong and exits 1; exits 0 when nothing is.
"""

import json
import sys

import jsonschema
import openapi_spec_validator


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        document = json.load(file)
    problems = [str(error) for error in openapi_spec_validator.OpenAPIV31SpecValidator(document).iter_errors()]
    operations = {}
    for path in document["paths"].values():
        for operation in path.values():
            operations[operation["operationId"]] = operation
    checked = 0
    with open(sys.argv[2], encoding="utf-8") as file:
        for line in file:
            observed = json.loads(line)
            responses = operations[observed["operation"]]["responses"]
            response = responses.get(str(observed["status"]), responses["default"])
            for content in response.get("content", {}).values():
                # References point into the document.
                schema = {**content["schema"], "components": document["components"]}
                validator = jsonschema.Draft202012Validator(
                    schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
                checked += 1
                for error in validator.iter_errors(observed["answer"]):
                    problems.append(f"{observed['operation']} {observed['status']}: {error.json_path}: {error.message}")
    if checked == 0:
        problems.append("no answer was checked")
    print("\n".join(problems) if problems else f"{len(operations)} operations, {checked} answers")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
