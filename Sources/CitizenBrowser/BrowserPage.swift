public import WireJSON

/// A page in a browser, as a citizen uses it: seen, touched, typed into.
public struct BrowserPage: Sendable {
  /// The browser.
  public let browser: Browser
  /// The page's target and session, in the protocol's words.
  public let target: String
  /// The session that its requests are told under.
  public let session: String

  @discardableResult
  private func call(_ method: String, _ parameters: JSONValue = [:]) async throws(BrowserError) -> JSONValue {
    try await browser.call(method, parameters, session: session)
  }

  /// Goes to an address.
  public func go(to url: String) async throws(BrowserError) {
    let result = try await call("Page.navigate", ["url": .string(url)])
    if let error = result["errorText"]?.string { throw .refused("\(url): \(error)") }
  }

  /// Makes the window so large, in pixels.
  public func resize(width: Int, height: Int) async throws(BrowserError) {
    try await call(
      "Emulation.setDeviceMetricsOverride",
      [
        "width": .integer(Int64(width)), "height": .integer(Int64(height)), "deviceScaleFactor": 1,
        "mobile": false,
      ])
  }

  /// Evaluates an expression on the page; a promise is waited for.
  @discardableResult
  public func evaluate(_ expression: String) async throws(BrowserError) -> JSONValue {
    let result = try await call(
      "Runtime.evaluate",
      ["expression": .string(expression), "awaitPromise": true, "returnByValue": true])
    if let details = result["exceptionDetails"] {
      throw .script(details["exception"]?["description"]?.string ?? details["text"]?.string ?? "\(details)")
    }
    return result["result"]?["value"] ?? .null
  }

  /// Waits until an expression is true of the page, and gives its value.
  @discardableResult
  public func wait(until condition: String) async throws(BrowserError) -> JSONValue {
    let seconds = browser.patience.components.seconds
    let script = """
      new Promise((resolve, reject) => {
        const test = () => { try { return (\(condition)); } catch { return null; } };
        const first = test();
        if (first) { resolve(first); return; }
        const end = (observer, timer) => { observer.disconnect(); clearTimeout(timer); };
        const observer = new MutationObserver(() => {
          const value = test();
          if (value) { end(observer, timer); resolve(value); }
        });
        observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
        const timer = setTimeout(() => { end(observer, timer); reject(new Error(
          "not within \(seconds) s: " + \(Self.quote(condition)) + " in: " + document.body?.innerText)); }, \(seconds)000);
      })
      """
    do throws(BrowserError) {
      return try await evaluate(script)
    } catch {
      // A page that loads itself anew takes the script with it.
      guard case .refused = error else { throw error }
      return try await evaluate(script)
    }
  }

  /// Waits until the page has shown a view (`data-view` of its body) after the last one that was waited for; it may have
  /// gone on to another since, for some views last for moments only.
  public func seen(_ view: String) async throws(BrowserError) {
    try await wait(
      until: """
        (() => {
          const at = window.viewsShown.indexOf(\(Self.quote(view)));
          if (at < 0) return false;
          window.viewsShown.splice(0, at + 1);
          return true;
        })()
        """)
  }

  /// Keeps the views of a document in the order in which they were shown.
  static let viewRecorder = """
    window.viewsShown = [];
    {
      let last = null;
      new MutationObserver((changes) => {
        for (const view of [...changes.map((change) => change.oldValue), document.body?.dataset.view]) {
          if (view && view !== last) window.viewsShown.push(last = view);
        }
      }).observe(document, { subtree: true, childList: true, attributeFilter: ["data-view"], attributeOldValue: true });
    }
    """

  /// A text as the page's language writes it.
  public static func quote(_ text: String) -> String {
    String(decoding: (try? JSON.encode(JSONValue.string(text))) ?? [], as: UTF8.self)
  }

  /// Waits for an element that can be touched, and gives its middle.
  private func middle(of selector: String) async throws(BrowserError) -> (x: Double, y: Double) {
    let place = try await wait(
      until: """
        (() => {
          const element = document.querySelector(\(Self.quote(selector)));
          if (!element || element.disabled || element.hidden) return null;
          element.scrollIntoView({ block: "nearest" });
          const box = element.getBoundingClientRect();
          return box.width > 0 ? { x: box.x + box.width / 2, y: box.y + box.height / 2 } : null;
        })()
        """)
    guard let x = place["x"]?.number, let y = place["y"]?.number else {
      throw .script("\(selector) is nowhere")
    }
    return (x, y)
  }

  /// Touches an element with a finger, as soon as it is there.
  public func touch(_ selector: String) async throws(BrowserError) {
    let (x, y) = try await middle(of: selector)
    try await finger("touchStart", [(x, y)])
    try await finger("touchEnd", [])
  }

  private func finger(_ type: String, _ points: [(Double, Double)]) async throws(BrowserError) {
    try await call(
      "Input.dispatchTouchEvent",
      [
        "type": .string(type),
        "touchPoints": .array(points.map { ["x": .number($0.0), "y": .number($0.1), "force": 0.6] }),
      ])
  }

  /// Draws a line on an element with a finger; points in parts of its width and height.
  public func draw(_ points: [(x: Double, y: Double)], on selector: String) async throws(BrowserError) {
    _ = try await middle(of: selector)
    let box = try await evaluate(
      """
      (() => { const box = document.querySelector(\(Self.quote(selector))).getBoundingClientRect();
        return { x: box.x, y: box.y, width: box.width, height: box.height }; })()
      """)
    func number(_ name: String) -> Double { box[name]?.number ?? 0 }
    let places = points.map {
      (number("x") + $0.x * number("width"), number("y") + $0.y * number("height"))
    }
    guard let first = places.first else { return }
    try await finger("touchStart", [first])
    for place in places.dropFirst() { try await finger("touchMove", [place]) }
    try await finger("touchEnd", [])
  }

  /// Types a text where the caret is.
  public func type(_ text: String) async throws(BrowserError) {
    try await call("Input.insertText", ["text": .string(text)])
  }

  /// Presses a key: `Tab`, `Enter`, `5`.
  public func press(_ key: String) async throws(BrowserError) {
    let codes = ["Tab": 9, "Enter": 13, " ": 32]
    let code = codes[key] ?? Int(key.utf8.first ?? 0)
    var parameters: [String: JSONValue] = [
      "type": "keyDown", "key": .string(key), "windowsVirtualKeyCode": .integer(Int64(code)),
    ]
    if key == "Enter" {
      parameters["text"] = "\r"
    } else if key.utf8.count == 1 {
      parameters["text"] = .string(key)
    }
    try await call("Input.dispatchKeyEvent", .object(parameters))
    parameters["type"] = "keyUp"
    parameters["text"] = nil
    try await call("Input.dispatchKeyEvent", .object(parameters))
  }

  /// What the page looks like, as PNG.
  public func picture() async throws(BrowserError) -> [UInt8] {
    let result = try await call("Page.captureScreenshot", ["format": "png"])
    guard let text = result["data"]?.string, let bytes = Base64.decode(text) else {
      throw .refused("no picture")
    }
    return bytes
  }

  /// Loads the page anew, and waits until nothing of the old one is left to be touched.
  public func reload() async throws(BrowserError) {
    try await evaluate("window.isOld = true")
    try await call("Page.reload")
    try await wait(until: "!window.isOld")
  }
}
