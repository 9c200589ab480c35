/// A name of an element or attribute with its prefix resolved to the namespace it stands for.
public struct XMLName: Hashable, Sendable, CustomStringConvertible {
  /// Namespace URI; empty for a name in no namespace.
  public let namespace: String
  /// The part after the colon.
  public let local: String

  /// A name in a namespace; the empty namespace is none.
  public init(_ local: String, in namespace: String = "") {
    self.namespace = namespace
    self.local = local
  }

  /// `{namespace}local`, the usual notation for a resolved name.
  public var description: String { namespace.isEmpty ? local : "{\(namespace)}\(local)" }
}

/// An element of a data document: name, attributes, and either text or child elements.
///
/// Made for protocol documents such as eSCL's, so text and children are kept apart and the order between them is not.
public struct XMLElement: Sendable, Equatable {
  /// The element's name.
  public var name: XMLName
  /// Attributes in the order of the document, namespace declarations excepted.
  public var attributes: [XMLAttribute]
  /// All character data directly inside, entities resolved, unprintable layout included.
  public var text: String
  /// Child elements in the order of the document.
  public var children: [XMLElement]

  /// An element.
  public init(
    _ name: XMLName, attributes: [XMLAttribute] = [], text: String = "", children: [XMLElement] = []
  ) {
    self.name = name
    self.attributes = attributes
    self.text = text
    self.children = children
  }

  /// The first child of that name.
  public func child(_ name: XMLName) -> XMLElement? { children.first { $0.name == name } }

  /// Every child of that name.
  public func children(_ name: XMLName) -> [XMLElement] { children.filter { $0.name == name } }

  /// The value of an attribute in no namespace.
  public func attribute(_ local: String) -> String? {
    attributes.first { $0.name == XMLName(local) }?.value
  }

  /// The text without the white space around it.
  public var trimmedText: String {
    let isSpace: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0D).contains($0) }
    let bytes = text.utf8.drop(while: isSpace)
    guard let last = bytes.lastIndex(where: { !isSpace($0) }) else { return "" }
    return String(decoding: bytes[...last], as: UTF8.self)
  }
}

/// `name="value"`.
public struct XMLAttribute: Sendable, Equatable {
  /// The name; attributes without prefix are in no namespace.
  public let name: XMLName
  /// The value, entities resolved.
  public let value: String

  /// An attribute.
  public init(_ name: XMLName, _ value: String) {
    self.name = name
    self.value = value
  }
}

extension XMLElement {
  /// The element as a document in UTF-8, with XML declaration.
  ///
  /// - Parameter prefixes: Prefixes declared at the root, with their namespaces. Names in other namespaces are
  ///   declared where they occur. Characters that XML cannot carry become U+FFFD.
  public func document(prefixes: [(prefix: String, namespace: String)]) -> [UInt8] {
    var output = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    var known: [String: String] = [:]
    for (prefix, namespace) in prefixes where known[namespace] == nil { known[namespace] = prefix }
    write(to: &output, known: known, standard: "", declarations: prefixes, indent: 0)
    output += "\n"
    return Array(output.utf8)
  }

  private func write(
    to output: inout String, known: [String: String], standard: String,
    declarations: [(prefix: String, namespace: String)], indent: Int
  ) {
    var known = known
    var standard = standard
    var tag = name.local
    var heading = ""
    for (prefix, namespace) in declarations {
      heading += " xmlns:\(prefix)=\"\(Self.escaped(namespace, inAttribute: true))\""
    }
    if let prefix = known[name.namespace] {
      tag = "\(prefix):\(name.local)"
    } else if name.namespace != standard {
      standard = name.namespace
      heading += " xmlns=\"\(Self.escaped(standard, inAttribute: true))\""
    }
    for attribute in attributes {
      var key = attribute.name.local
      let namespace = attribute.name.namespace
      if !namespace.isEmpty {
        let prefix = known[namespace] ?? Self.unusedPrefix(known)
        if known.updateValue(prefix, forKey: namespace) == nil {
          heading += " xmlns:\(prefix)=\"\(Self.escaped(namespace, inAttribute: true))\""
        }
        key = "\(prefix):\(key)"
      }
      heading += " \(key)=\"\(Self.escaped(attribute.value, inAttribute: true))\""
    }
    let body = Self.escaped(text, inAttribute: false)
    guard !children.isEmpty else {
      output += body.isEmpty ? "<\(tag)\(heading)/>" : "<\(tag)\(heading)>\(body)</\(tag)>"
      return
    }
    output += "<\(tag)\(heading)>\(body)"
    // Layout is added only where there is no text it could become part of.
    let layout = body.isEmpty
    for child in children {
      if layout { output += "\n" + String(repeating: "  ", count: indent + 1) }
      child.write(to: &output, known: known, standard: standard, declarations: [], indent: indent + 1)
    }
    if layout { output += "\n" + String(repeating: "  ", count: indent) }
    output += "</\(tag)>"
  }

  private static func unusedPrefix(_ known: [String: String]) -> String {
    var number = 0
    while known.values.contains("n\(number)") { number += 1 }
    return "n\(number)"
  }

  private static func escaped(_ text: String, inAttribute: Bool) -> String {
    var result = ""
    result.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      // Only "]]>" must be escaped, but a reader of the text need not know that.
      case ">": result += "&gt;"
      case "\"" where inAttribute: result += "&quot;"
      case "\r": result += "&#13;"
      case "\n" where inAttribute: result += "&#10;"
      case "\t" where inAttribute: result += "&#9;"
      case _ where XMLReader.isCharacter(scalar.value): result.unicodeScalars.append(scalar)
      default: result += "\u{FFFD}"
      }
    }
    return result
  }
}
