import Channels
import WireJSON

extension ScreenView {
  /// The view as the page reads it. Pictures are named by their place, and fetched apart.
  func json(revision: Int, secondsLeft: Int?) -> JSONValue {
    var value: [String: JSONValue] = [
      "revision": .integer(Int64(revision)), "kind": .string(kind), "step": .string(step),
      "visit": JSONValue(visit), "extendable": .bool(isExtendable),
    ]
    if let secondsLeft { value["secondsLeft"] = .integer(Int64(secondsLeft)) }
    func put(_ name: String, _ text: ScreenText?) { if let text { value[name] = text.json } }
    switch content {
    case .idle(let title, let text, let clerkName, let clerkNumber):
      var content: [String: JSONValue] = [:]
      if let title { content["title"] = title.json }
      if let text { content["text"] = text.json }
      value["content"] = .object(content)
      if clerkName != nil || clerkNumber != nil {
        value["clerk"] = ["name": JSONValue(clerkName), "number": JSONValue(clerkNumber)]
      }
    case .called(let number, let window):
      value["number"] = .string(number)
      value["window"] = JSONValue(window)
    case .rating(let rating):
      value["service"] = JSONValue(rating.service)
      value["level"] = rating.level.map { .integer(Int64($0)) } ?? .null
      value["correctable"] = .bool(rating.correctableSeconds > 0)
      value["correctableSeconds"] = .integer(Int64(rating.correctableSeconds))
      value["reasons"] = .array(
        rating.reasons.map {
          ["code": .string($0.code), "zh": .string($0.text.chinese), "en": .string($0.text.english)]
        })
      value["chosen"] = .array(rating.chosen.map(JSONValue.string))
      value["reasonRequired"] = .bool(rating.isReasonRequired)
      value["comment"] = .bool(rating.takesComment)
    case .confirm(let title, let fields):
      put("title", title)
      value["fields"] = .array(fields.map { ["label": $0.label.json, "value": .string($0.value)] })
    case .document(let title, let pages, let asksConsent):
      put("title", title)
      value["confirm"] = .bool(asksConsent)
      value["pages"] = .array(
        pages.enumerated().map { index, page in
          [
            "content": .string("\(revision)-\(index)"), "width": .integer(Int64(page.width)),
            "height": .integer(Int64(page.height)),
          ]
        })
    case .signature(let title): put("title", title)
    case .qr(let title, let caption, let modules):
      put("title", title)
      put("caption", caption)
      value["modules"] = .array(
        modules.map { row in .string(String(row.map { $0 ? "1" : "0" })) })
    case .window(let title, let url):
      put("title", title)
      value["url"] = .string(url)
    case .thanks(let rated): value["rated"] = .bool(rated)
    case .outOfService(let text): put("text", text)
    }
    return .object(value)
  }
}

extension ScreenText {
  var json: JSONValue { ["zh": .string(chinese), "en": .string(english)] }
}

extension ScreenInput {
  /// Reads what the page sends as `input`; nil for anything else.
  init?(_ value: JSONValue?, limits: ScreenLimits = ScreenLimits()) {
    guard let value, let type = value["type"]?.string else { return nil }
    switch type {
    case "press":
      guard let level = value["level"]?.integer, (1...5).contains(level) else { return nil }
      self = .press(level: Int(level))
    case "reasons":
      guard let codes = value["codes"]?.array, codes.count <= limits.reasons else { return nil }
      let texts = codes.compactMap(\.string)
      guard texts.count == codes.count, texts.allSatisfy({ $0.utf8.count <= 16 }) else { return nil }
      let comment = value["comment"]?.string ?? ""
      guard comment.count <= limits.commentCharacters else { return nil }
      self = .reasons(codes: texts, comment: comment)
    case "decline": self = .decline
    case "confirm":
      guard let accepted = value["accepted"]?.bool else { return nil }
      self = .confirm(accepted: accepted)
    case "signature":
      guard let text = value["png"]?.string, let png = Base64.decode(text), png.count <= limits.pictureBytes,
        let strokes = value["strokes"]?.array, !strokes.isEmpty, strokes.count <= limits.strokes,
        strokes.allSatisfy({ $0.isStroke }), let bytes = try? JSON.encode(JSONValue.array(strokes))
      else { return nil }
      self = .signature(png: png, strokes: bytes)
    case "moreTime": self = .moreTime
    case "touched": self = .touched
    case "opened": self = .window(.opened)
    case "blocked": self = .window(.blocked)
    case "closed": self = .window(.closed)
    default: return nil
    }
  }
}

/// How much a page may send.
struct ScreenLimits: Sendable {
  var reasons = 20
  var commentCharacters = 300
  var strokes = 500
  var pictureBytes = 2 << 20
}

extension JSONValue {
  /// Points of four numbers each: x and y in ten-thousandths, milliseconds, pressure in thousandths.
  fileprivate var isStroke: Bool {
    guard let points = array, (1...4000).contains(points.count) else { return false }
    return points.allSatisfy { point in
      guard let numbers = point.array, numbers.count == 4 else { return false }
      return numbers.allSatisfy { ($0.integer).map { (-1000...1_000_000_000).contains($0) } ?? false }
    }
  }
}
