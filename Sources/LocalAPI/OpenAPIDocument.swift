public import WireJSON

/// The OpenAPI 3.1 document of the agent API, printed from ``Route``.
public enum OpenAPIDocument {
  /// The document.
  public static func make(version: String) -> JSONValue {
    var paths: [String: JSONValue] = [:]
    for route in Route.allCases {
      let specification = route.specification
      var item = paths[specification.path] ?? .object([:])
      item[specification.method.lowercased()] = operation(route, specification)
      paths[specification.path] = item
    }
    return [
      "openapi": "3.1.0",
      "info": [
        "title": "Hall agent API", "version": .string(version),
        "description":
          "The devices of one service position behind one local API. HTTP/1.1 on the Unix socket /run/hall-agent/agent.sock.",
      ],
      "servers": [
        [
          "url": "http://localhost",
          "description": "Through the Unix socket: the Host header is not looked at.",
        ]
      ],
      "paths": .object(paths),
      "components": ["schemas": ["Problem": problem]],
    ]
  }

  private static func operation(_ route: Route, _ specification: Route.Specification) -> JSONValue {
    var operation: [String: JSONValue] = [
      "operationId": .string(route.rawValue), "summary": .string(specification.summary),
      "x-role": .string(specification.role.name),
    ]
    var parameters: [JSONValue] = specification.segments.filter { $0.hasPrefix("{") }.map { segment in
      [
        "name": .string(String(segment.dropFirst().dropLast())), "in": "path", "required": true,
        "schema": ["type": "string"],
      ]
    }
    for field in specification.query {
      parameters.append([
        "name": .string(field.name), "in": "query", "required": .bool(field.required),
        "description": .string(field.summary), "schema": field.shape.schema,
      ])
    }
    if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
    if !specification.bodyTypes.isEmpty {
      let types = specification.bodyTypes.map { ($0, JSONValue.object([:])) }
      operation["requestBody"] = [
        "required": true, "content": .object(Dictionary(uniqueKeysWithValues: types)),
      ]
    } else if let body = specification.body {
      operation["requestBody"] = [
        "required": true, "content": ["application/json": ["schema": body.schema]],
      ]
    }
    var success: JSONValue = ["description": "Done."]
    if let answer = specification.answer {
      success["content"] = ["application/json": ["schema": answer.schema]]
    } else if let type = specification.answerType {
      success["content"] = .object([type: .object([:])])
    }
    operation["responses"] = .object([
      String(specification.success): success,
      "default": [
        "description": "Refused, with what to do and who has to.",
        "content": ["application/problem+json": ["schema": ["$ref": "#/components/schemas/Problem"]]],
      ],
    ])
    return .object(operation)
  }

  private static let problem: JSONValue = [
    "type": "object", "required": ["type", "status", "code", "title", "action", "actor", "retry"],
    "properties": [
      "type": ["type": "string"], "status": ["type": "integer"],
      "code": ["type": "string", "description": "Stable code."],
      "title": ["type": "string", "description": "What is wrong and what to do, in the caller's language."],
      "detail": ["type": "string", "description": "Technical detail."],
      "action": ["type": "string"], "actor": ["type": "string"],
      "retry": ["type": "boolean", "description": "The same may succeed if tried again."],
    ],
  ]
}
