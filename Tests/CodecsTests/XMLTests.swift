import Codecs
import TestKit
import Testing

private func read(_ text: String, limits: XMLLimits = XMLLimits()) throws -> XMLElement {
  try XMLReader.read(Array(text.utf8), limits: limits)
}

private func refusal(_ bytes: [UInt8], limits: XMLLimits = XMLLimits()) -> XMLError? {
  do {
    _ = try XMLReader.read(bytes, limits: limits)
    return nil
  } catch {
    return error
  }
}

@Suite struct XMLReaderTests {
  @Test func `prefixes are resolved to namespaces, whatever they are called`() throws {
    let one = try read("<a:r xmlns:a='urn:x' xmlns:b=\"urn:y\" b:k='1' k='2'><b:c/><a:c>t</a:c></a:r>")
    let two = try read("<r xmlns='urn:x' xmlns:q='urn:y' q:k='1' k='2'><c xmlns='urn:y'/><c>t</c></r>")
    #expect(one == two)
    #expect(one.name == XMLName("r", in: "urn:x"))
    #expect(one.child(XMLName("c", in: "urn:x"))?.text == "t")
    #expect(one.attribute("k") == "2")
    #expect(one.attributes[0].name == XMLName("k", in: "urn:y"))
  }

  @Test func `a prefix may be bound anew inside and holds again outside`() throws {
    let root = try read("<p:r xmlns:p='1'><p:a xmlns:p='2'><p:b/></p:a><p:c xmlns:p='3'/><p:d/></p:r>")
    #expect(root.children.map(\.name.namespace) == ["2", "3", "1"])
    #expect(root.children[0].children[0].name.namespace == "2")
  }

  @Test func `text, entities, CDATA, comments and instructions are told apart`() throws {
    let text = """
      \u{FEFF}<?xml version="1.0" encoding="utf-8" standalone='yes'?>
      <!-- one --><?style x?>
      <r a="&lt;&quot;&#x8BC4;&#20215;\n\t&apos;">a&amp;b<!-- > --> &gt;<![CDATA[<x> &amp; ]] ]]>\r\nz\r<?p?></r >
      <!-- end -->
      """
    let root = try read(text)
    #expect(root.text == "a&b ><x> &amp; ]] \nz\n")
    #expect(root.attribute("a") == "<\"评价  '")
  }

  @Test func `white space between elements is layout and white space around text can be cut`() throws {
    let root = try read("<r>\n  <a> 300\n </a>\n</r>")
    #expect(root.text == "")
    #expect(root.children[0].text == " 300\n ")
    #expect(root.children[0].trimmedText == "300")
  }

  @Test(arguments: [
    ("", XMLError.Problem.unexpectedEnd, 0), ("  ", .unexpectedEnd, 2), ("<r>", .unexpectedEnd, 3),
    ("<r", .unexpectedEnd, 2), ("<r a", .unexpectedEnd, 4), ("<r a=", .unexpectedEnd, 5),
    ("<r a='x", .unexpectedEnd, 7), ("<r/><!-- ", .unexpectedEnd, 8),
    ("<r><![CDATA[x</r>", .unexpectedEnd, 12),
    ("<r>&am", .unexpectedEnd, 3), ("</r>", .malformed, 0), ("<r/><r/>", .malformed, 4),
    ("x<r/>", .malformed, 0), ("<r/>x", .malformed, 4), ("<1/>", .malformed, 1),
    ("<r a=1/>", .malformed, 5), ("<r a='1'b='2'/>", .malformed, 8), ("<r a='<'/>", .malformed, 6),
    ("<r>]]></r>", .malformed, 5), ("<r/><!-- a -- b -->", .malformed, 11), ("<a:b:c/>", .malformed, 1),
    ("<:r/>", .malformed, 1), ("<r:/>", .malformed, 1), ("<r>&#;</r>", .malformed, 3),
    ("<r>&#x-1;</r>", .malformed, 3), ("<r/><?xml version='1.0'?>", .malformed, 4),
    ("<?xml encoding='utf-8'?><r/>", .malformed, 0), ("<r xmlns:p=''/>", .malformed, 3),
    ("<r><![CDATA[]]>", .unexpectedEnd, 15), ("<![CDATA[x]]><r/>", .malformed, 0),
    ("<!ELEMENT r>", .malformed, 1),
    ("<r></s>", .mismatchedTag, 5), ("<p:r xmlns:p='1' xmlns:q='1'></q:r>", .mismatchedTag, 31),
    ("<r a='1' a='2'/>", .duplicateAttribute, 9),
    ("<r xmlns:p='1' xmlns:q='1' p:a='' q:a=''/>", .duplicateAttribute, 34),
    ("<p:r/>", .unboundPrefix, 1), ("<r p:a=''/>", .unboundPrefix, 3),
    ("<r>&nbsp;</r>", .unknownEntity, 3), ("<r>& x</r> and much more", .unknownEntity, 3),
    ("<r>&#0;</r>", .forbiddenCharacter, 3), ("<r>&#xD800;</r>", .forbiddenCharacter, 3),
    ("<r>&#x110000;</r>", .forbiddenCharacter, 3), ("<r>\u{1}</r>", .forbiddenCharacter, 3),
    ("<r>\u{FFFF}</r>", .forbiddenCharacter, 3),
    ("<!DOCTYPE r [<!ENTITY a 'b'>]><r>&a;</r>", .documentType, 0),
    ("<?xml version='1.0' encoding='gb2312'?><r/>", .notUTF8, 20),
  ])
  func `a document that is not well-formed is refused with its place`(
    text: String, problem: XMLError.Problem, offset: Int
  ) {
    let error = refusal(Array(text.utf8))
    #expect(error?.problem == problem)
    #expect(error?.offset == offset)
  }

  @Test func `bytes that are not UTF-8 are refused`() {
    #expect(refusal(Array("<r>".utf8) + [0xC4, 0xE3])?.problem == .notUTF8)
    #expect(refusal([0xFF, 0xFE, 0x3C, 0x00])?.problem == .notUTF8)
  }

  @Test func `size, depth, number and name length are limited`() {
    let limits = XMLLimits(bytes: 200, depth: 3, elements: 5, attributes: 2, name: 4)
    #expect(refusal(Array(repeating: 0x20, count: 201), limits: limits)?.problem == .tooLarge)
    #expect(refusal(Array("<a><b><c/></b></a>".utf8), limits: limits) == nil)
    #expect(refusal(Array("<a><b><c><d/></c></b></a>".utf8), limits: limits)?.problem == .tooDeep)
    #expect(refusal(Array("<a><b/><b/><b/><b/></a>".utf8), limits: limits) == nil)
    #expect(refusal(Array("<a><b/><b/><b/><b/><b/></a>".utf8), limits: limits)?.problem == .tooMany)
    #expect(refusal(Array("<a b='' c='' d=''/>".utf8), limits: limits)?.problem == .tooMany)
    #expect(refusal(Array("<abcde/>".utf8), limits: limits)?.problem == .nameTooLong)
  }

  @Test func `any bytes end in an element or in an error`() throws {
    var random = SeededRandom(seed: 2)
    let pieces = [
      "<", "</", ">", "/>", "a", "b:", "xmlns:b='u' ", "&amp;", "&#", ";", "<![CDATA[", "]]>", "<!--", "-->",
      "<?", "?>", "=", "'", "\"", " ", "\r", "评", "<a>", "</a>", "<?xml version='1.0'?>", "\u{FEFF}",
    ].map { Array($0.utf8) }
    var accepted = 0
    for round in 0..<20_000 {
      var bytes: [UInt8] = []
      for _ in 0..<Int.random(in: 0..<20, using: &random) {
        bytes += pieces.randomElement(using: &random) ?? []
      }
      if round.isMultiple(of: 3), !bytes.isEmpty {
        bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      guard let element = try? XMLReader.read(bytes) else { continue }
      accepted += 1
      #expect(try XMLReader.read(element.document(prefixes: [("p", "u")])) == element)
    }
    #expect(accepted > 0)
  }
}

@Suite struct XMLWriterTests {
  @Test func `a document is written with its prefixes and read back the same`() throws {
    let root = XMLElement(
      XMLName("r", in: "urn:x"), attributes: [XMLAttribute(XMLName("k"), "a\"<\n\t\r&")],
      children: [
        XMLElement(XMLName("t", in: "urn:y"), text: "1 < 2 && ]]> \r 评价"),
        XMLElement(XMLName("u", in: "urn:z"), children: [XMLElement(XMLName("v"))]),
        XMLElement(XMLName("w"), attributes: [XMLAttribute(XMLName("l", in: "urn:q"), "")]),
      ])
    let bytes = root.document(prefixes: [("x", "urn:x"), ("y", "urn:y")])
    #expect(
      String(decoding: bytes, as: UTF8.self) == """
        <?xml version="1.0" encoding="UTF-8"?>
        <x:r xmlns:x="urn:x" xmlns:y="urn:y" k="a&quot;&lt;&#10;&#9;&#13;&amp;">
          <y:t>1 &lt; 2 &amp;&amp; ]]&gt; &#13; 评价</y:t>
          <u xmlns="urn:z">
            <v xmlns=""/>
          </u>
          <w xmlns:n0="urn:q" n0:l=""/>
        </x:r>

        """)
    #expect(try XMLReader.read(bytes) == root)
  }

  @Test func `characters XML cannot carry are replaced`() throws {
    let bytes = XMLElement(XMLName("r"), text: "a\u{0}b\u{FFFE}c").document(prefixes: [])
    #expect(try XMLReader.read(bytes).text == "a\u{FFFD}b\u{FFFD}c")
  }
}
