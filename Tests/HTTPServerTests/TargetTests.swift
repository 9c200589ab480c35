import HTTPClient
import HTTPServer
import Testing

@Suite struct TargetTests {
  @Test(arguments: [
    ("unix:/run/hall-intake/intake.sock", HTTPTarget.unix(path: "/run/hall-intake/intake.sock")),
    ("http://127.0.0.1:8080", .loopback(port: 8080)), ("http://localhost:1", .loopback(port: 1)),
    ("http://127.0.0.1:65535/", .loopback(port: 65535)),
  ]) func `a target is read`(_ text: String, _ target: HTTPTarget) {
    #expect(HTTPTarget(text: text) == target)
    #expect(HTTPTarget(text: target.description) == target)
  }

  @Test(arguments: [
    "", "unix:", "unix:relative", "/run/x.sock", "http://127.0.0.1", "http://127.0.0.1:",
    "http://127.0.0.1:0", "http://127.0.0.1:65536",
    "http://127.0.0.1:+80", "http://127.0.0.1:80/path", "http://127.0.0.1.evil.example:80",
    "http://192.168.1.1:80", "https://localhost:443",
    "http://localhost.:80", "http://[::1]:80", "http://user@127.0.0.1:80",
    "unix:/\(String(repeating: "a", count: 107))", "unix:/a\0b",
  ]) func `what is not on this machine or not clear is no target`(_ text: String) {
    #expect(HTTPTarget(text: text) == nil)
  }

  @Test func `a request for a handler's test is made from its target`() throws {
    let request = try #require(ServerRequest(method: "GET", target: "/a/%62?c=d", headers: [("X", "y")]))
    #expect(request.pathSegments == ["a", "b"])
    #expect(request.query.first?.value == "d")
    #expect(request.header("x") == "y")
    #expect(ServerRequest(method: "GET", target: "nonsense") == nil)
    #expect(ServerRequest(method: "GET", target: "/")?.pathSegments == [])
  }
}
