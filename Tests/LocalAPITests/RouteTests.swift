import LocalAPI
import Testing
import WireJSON

@Suite struct RouteTests {
  @Test func `every route is found by its own method and path, with its parameters`() {
    for route in Route.allCases {
      let specification = route.specification
      let segments = specification.segments.map { $0.hasPrefix("{") ? "value" : String($0) }
      var expected: [String: String] = [:]
      for segment in specification.segments where segment.hasPrefix("{") {
        expected[String(segment.dropFirst().dropLast())] = "value"
      }
      #expect(
        Route.match(method: specification.method, segments: segments) == .route(route, parameters: expected),
        "\(specification.method) \(specification.path)")
    }
  }

  @Test func `a wrong method is answered with those that the path has`() {
    #expect(Route.match(method: "PUT", segments: ["v1", "visits"]) == .methodNotAllowed(["GET", "POST"]))
    #expect(Route.match(method: "GET", segments: ["v2", "visits"]) == .notFound)
    #expect(Route.match(method: "GET", segments: []) == .notFound)
  }

  @Test func `POST stands in for PATCH where a path has no POST of its own`() {
    #expect(
      Route.match(method: "POST", segments: ["v1", "visits", "x"])
        == .route(.changeVisit, parameters: ["visit": "x"]))
    #expect(Route.match(method: "HEAD", segments: ["v1", "status"]) == .route(.status, parameters: [:]))
  }

  @Test func `the OpenAPI document has every route once, with its role and forms`() throws {
    let document = OpenAPIDocument.make(version: "1")
    #expect(document["openapi"]?.string == "3.1.0")
    var operations = 0
    for (path, item) in document["paths"]?.object ?? [:] {
      for (method, operation) in item.object ?? [:] {
        operations += 1
        let route = try #require(Route(rawValue: operation["operationId"]?.string ?? ""))
        #expect(route.specification.path == path && route.specification.method.lowercased() == method)
        #expect(operation["x-role"]?.string == route.specification.role.name)
        #expect(
          (operation["requestBody"] != nil)
            == (route.specification.body != nil || !route.specification.bodyTypes.isEmpty))
      }
    }
    #expect(operations == Route.allCases.count)
  }
}
