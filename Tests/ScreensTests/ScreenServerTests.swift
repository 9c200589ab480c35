import Channels
import HallKit
import Posix
import TestKit
import Testing
import WireJSON

@testable import Screens

@Suite(.timeLimit(.minutes(1))) struct ScreenServerTests {
  @Test(arguments: [("/", "text/html"), ("/screen.css", "text/css"), ("/screen.js", "text/javascript")])
  func `the page's files come from the program, and name nothing elsewhere`(path: String, type: String)
    async throws
  {
    let served = try Served()
    let reply = try await served.send("GET", path)
    #expect(reply.status == 200 && reply.headers["content-type"]?.hasPrefix(type) == true)
    let policy = try #require(reply.headers["content-security-policy"])
    #expect(policy.hasPrefix("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("http"))
    #expect(reply.headers["access-control-allow-origin"] == nil)
    #expect(
      reply.headers["x-content-type-options"] == "nosniff" && reply.headers["cache-control"] == "no-store")
    // The name of SVG's elements is no address that anything is fetched from.
    let text = reply.body.replacing("http://www.w3.org/2000/svg", with: "")
    for word in ["http:", "https:", "//cdn", "@import", "url("] {
      #expect(!text.contains(word), "\(path) has \(word)")
    }
  }

  struct Wrong: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var method = "GET"
    var path = "/"
    var host: String?
    var headers: [(String, String)] = []
    var status: Int
  }

  // PORT stands for the server's own.
  @Test(arguments: [
    Wrong(testDescription: "another name for this machine", host: "hall.example:PORT", status: 421),
    Wrong(testDescription: "a name that may lead anywhere", host: "127.0.0.1.example:PORT", status: 421),
    Wrong(testDescription: "another address of the loopback", host: "127.0.0.2:PORT", status: 421),
    Wrong(testDescription: "another port", host: "127.0.0.1:1", status: 421),
    Wrong(testDescription: "no port", host: "127.0.0.1", status: 421),
    Wrong(
      testDescription: "another page's read", headers: [("Origin", "https://counter.example")], status: 403),
    Wrong(
      testDescription: "another page's pairing", method: "POST", path: "/pairings",
      headers: [("Origin", "https://counter.example")], status: 403),
    Wrong(
      testDescription: "another port's page", method: "POST", path: "/inputs",
      headers: [("Origin", "http://127.0.0.1:1")], status: 403),
    Wrong(
      testDescription: "the same place by TLS", method: "POST", path: "/inputs",
      headers: [("Origin", "https://127.0.0.1:PORT")], status: 403),
    Wrong(
      testDescription: "a page without an origin", method: "POST", path: "/inputs",
      headers: [("Origin", "null")],
      status: 403),
    Wrong(testDescription: "no origin on a press", method: "POST", path: "/inputs", status: 403),
    Wrong(testDescription: "no origin on a pairing", method: "POST", path: "/pairings", status: 403),
    Wrong(testDescription: "no origin on anything else", method: "DELETE", path: "/events", status: 403),
    Wrong(
      testDescription: "a frame in another page", headers: [("Sec-Fetch-Site", "cross-site")], status: 403),
    Wrong(testDescription: "a page of another port", headers: [("Sec-Fetch-Site", "same-site")], status: 403),
    Wrong(
      testDescription: "a press from another page", method: "POST", path: "/inputs",
      headers: [("Origin", "http://127.0.0.1:PORT"), ("Sec-Fetch-Site", "cross-site")], status: 403),
  ])
  func `what does not come from its own page is refused and said`(_ wrong: Wrong) async throws {
    let served = try Served()
    let link = try await served.open("1")
    await link.show(ScreenView(step: "q", .rating(ScreenView.Rating())))
    // With a good token it is refused all the same.
    let token = served.token("1")
    let watch = try await served.watch(token)
    let revision = try #require(try await watch.view("rating")["revision"])
    func own(_ text: String) -> String { text.replacing("PORT", with: "\(served.port)") }
    let press: JSONValue = ["revision": revision, "input": ["type": "press", "level": 5]]
    let reply = try await served.send(
      wrong.method, wrong.path,
      wrong.headers.map { ($0.0, own($0.1)) } + [
        ("Authorization", "Bearer \(token)"), ("Content-Type", "application/json"),
      ], host: wrong.host.map(own),
      body: wrong.method == "GET" ? "" : String(decoding: try JSON.encode(press), as: UTF8.self))
    #expect(reply.status == wrong.status)
    #expect(served.refusals.value.count == 1)
    #expect(reply.headers["access-control-allow-origin"] == nil)
    await link.close()
    // Nothing of it came through.
    var inputs = 0
    for await event in link.events { if case .input = event { inputs += 1 } }
    #expect(inputs == 0)
  }

  @Test func `a request without any host is refused`() async throws {
    let served = try Served()
    #expect(try await served.send("GET", "/", host: "").status >= 400)
  }

  @Test(arguments: ["/events", "/inputs", "/content/1-0"])
  func `without a token, and with one that was replaced, there is nothing`(path: String) async throws {
    let served = try Served()
    let stale = served.token("1")
    let method = path == "/inputs" ? "POST" : "GET"
    let token = served.token("1")
    for wrong in [nil, "", "x", stale, token + "0", String(token.dropLast())] {
      #expect(try await served.own(method, path, token: wrong).status == 401, "\(wrong ?? "none")")
    }
    #expect(served.refusals.value.count == 6)
  }

  @Test func `a token that is replaced ends what it opened`() async throws {
    let served = try Served()
    let watch = try await served.watch(served.token("1"))
    _ = try await watch.view("outOfService")
    _ = served.token("1")
    served.bus.end("1")
    await watch.seen.wait { $0.isOver }
    #expect(watch.seen.value.isOver)
  }

  @Test func `it listens on the loopback alone`() async throws {
    let served = try Served()
    #expect(try Loopback.ownerOfListener(port: served.port) == ProcessInfo.userID)
    // proc(5): the local address of a listening socket, in the machine's byte order.
    let hex = String(served.port, radix: 16, uppercase: true)
    let port = String(repeating: "0", count: 4 - hex.count) + hex
    var places: [Substring] = []
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
      let text = String(decoding: (try? Files.read(table, limit: 64 << 20)) ?? [], as: UTF8.self)
      for line in text.split(separator: "\n") {
        let fields = line.split(separator: " ")
        guard fields.count > 3, fields[3] == "0A", fields[1].hasSuffix(":\(port)") else { continue }
        places.append(fields[1])
      }
    }
    #expect(places.map(String.init) == ["0100007F:\(port)"])
  }

  // MARK: Pairing

  @Test func `a screen is let in by the code that it shows, once`() async throws {
    let served = try Served()
    let begun = try await served.own("POST", "/pairings").json
    let code = try #require(begun["code"]?.string)
    let id = try #require(begun["pairing"]?.string)
    #expect(code.count == 4 && served.bus.shows(code: code) && !served.bus.shows(code: code + "0"))
    async let waiting = served.own("GET", "/pairings/\(id)")
    let token = served.token("2")
    #expect(!served.bus.pair(code: "nope", token: token, screen: "2"))
    #expect(served.bus.pair(code: code, token: token, screen: "2"))
    let paired = try await waiting.json
    #expect(paired["state"] == "paired" && paired["token"]?.string == token && paired["screen"] == "2")
    // The token is told once, and the code is good once.
    #expect(try await served.own("GET", "/pairings/\(id)").status == 410)
    #expect(!served.bus.pair(code: code, token: token, screen: "2"))
    let watch = try await served.watch(token)
    _ = try await watch.view("outOfService")
  }

  @Test func `so many ask to be let in and no more`() async throws {
    let served = try Served()
    var codes: Set<String> = []
    for _ in 0..<Pairings.limit {
      codes.insert(try await served.own("POST", "/pairings").json["code"]?.string ?? "")
    }
    #expect(codes.count == Pairings.limit)
    #expect(try await served.own("POST", "/pairings").status == 429)
  }

  @Test func `a code is good for five minutes`() {
    let pairings = Pairings()
    let begun = pairings.begin(now: .zero)
    #expect(pairings.shows(begun?.code ?? "", now: .seconds(299)))
    #expect(!pairings.shows(begun?.code ?? "", now: .seconds(300)))
    #expect(!pairings.confirm(code: begun?.code ?? "", token: "t", screen: "1", now: .seconds(300)))
  }

  // MARK: Views and inputs

  @Test func `a page is shown what it came too late for, and told of what follows`() async throws {
    let served = try Served()
    let token = served.token("1")
    let link = try await served.open("1")
    await link.show(ScreenView(step: "q", visit: "v-1", .called(number: "A023", window: "07")))
    let first = try await served.watch(token)
    let view = try await first.view("called")
    #expect(view["number"] == "A023" && view["window"] == "07" && view["visit"] == "v-1")
    let second = try await served.watch(token)
    _ = try await second.view("called")
    await link.show(ScreenView(step: "t", .thanks(rated: true), isExtendable: false))
    for watch in [first, second] { #expect(try await watch.view("thanks")["rated"] == true) }
    await link.close()
    _ = try await first.view("outOfService")
  }

  @Test func `what a page does belongs to the view that it saw`() async throws {
    let served = try Served()
    let token = served.token("1")
    let link = try await served.open("1")
    await link.show(ScreenView(step: "q", .rating(ScreenView.Rating())))
    let watch = try await served.watch(token)
    let revision = try #require(try await watch.view("rating")["revision"]?.integer)
    func press(_ revision: Int64, _ level: Int64) async throws -> Int {
      try await served.own(
        "POST", "/inputs", token: token,
        body: ["revision": .integer(revision), "input": ["type": "press", "level": .integer(level)]]
      ).status
    }
    #expect(try await press(revision, 4) == 204)
    await link.show(ScreenView(step: "q2", .rating(ScreenView.Rating())))
    #expect(try await press(revision, 1) == 409)
    #expect(try await press(revision + 1, 6) == 400)
    await link.close()
    #expect(try await press(revision + 2, 1) == 409)
    var inputs: [ScreenInput] = []
    for await event in link.events { if case .input(let input, _) = event { inputs.append(input) } }
    #expect(inputs == [.press(level: 4)])
  }

  @Test func `screens are told apart by their tokens`() async throws {
    let served = try Served()
    let (one, two) = (try await served.open("1"), try await served.open("2"))
    let (first, second) = (served.token("1"), served.token("2"))
    let picture = ScreenView.Page(image: [1, 2, 3], mediaType: "image/png", width: 1, height: 1)
    await one.show(ScreenView(step: "d", .document(title: nil, pages: [picture], asksConsent: true)))
    await two.show(ScreenView(step: "c", .called(number: "B001", window: nil)))
    let watch = try await served.watch(first)
    let view = try await watch.view("document")
    let content = try #require(view["pages"]?.array?.first?["content"]?.string)
    let other = try await served.watch(second)
    _ = try await other.view("called")
    #expect(try await served.own("GET", "/content/\(content)", token: first).status == 200)
    #expect(try await served.own("GET", "/content/\(content)", token: second).status == 404)
    let revision = try #require(view["revision"])
    let press: JSONValue = ["revision": revision, "input": ["type": "confirm", "accepted": true]]
    _ = try await served.own("POST", "/inputs", token: second, body: press)
    await one.close()
    for await event in one.events { if case .input = event { Issue.record("pressed from another screen") } }
    // What was shown is gone with the view.
    #expect(try await served.own("GET", "/content/\(content)", token: first).status == 404)
  }

  @Test func `one holds a screen at a time, and it can be held again`() async throws {
    let served = try Served()
    let link = try await served.open("1")
    await #expect(throws: ChannelError.self) { _ = try await served.open("1") }
    await link.close()
    await link.close()
    _ = try await served.open("1")
  }

  @Test func `its holder learns when a page comes and when the last one goes`() async throws {
    let served = try Served()
    let link = try await served.open("1")
    var events = link.events.makeAsyncIterator()
    #expect(await events.next() == .present(false))
    do {
      let watch = try await served.watch(served.token("1"))
      _ = try await watch.view("outOfService")
      #expect(await events.next() == .present(true))
    }
    // The page's connection is gone with it; the server learns it with the next view it writes, or sooner.
    await link.show(ScreenView(step: "x", .thanks(rated: false)))
    #expect(await events.next() == .present(false))
  }
}
