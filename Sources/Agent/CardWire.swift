import Codecs
import Crypto
import Devices
import WireJSON

/// A card's contents as JSON, for the one caller they are read for: the only place where they are revealed.
enum CardWire {
  /// - Parameters:
  ///   - picture: the decoded photo, where there is one.
  ///   - isMasked: whether numbers are given with their middle masked.
  static func json(
    _ reading: CardReading, picture: PhotoDecoder.Picture? = nil, isMasked: Bool = false
  ) -> JSONValue {
    let card = reading.card
    var fields: [String: JSONValue] = [:]
    if case .unknown(let letter) = card.kind {
      // An unknown letter yields what was read, and no guess at its fields: a number may be anywhere in it.
      if !isMasked { fields["text"] = .string(Base64.encode(card.text.reveal())) }
      if let letter { fields["letter"] = .integer(Int64(letter)) }
    } else {
      for key in IDCardKey.allCases {
        guard let raw = card[key] else { continue }
        fields[key.rawValue] = .string(raw.text.reveal())
      }
      if let sex = card.sex {
        fields["sex"] = coded(sex, code: { String($0.rawValue) }, name: { $0.chineseName })
      }
      if let nation = card.ethnicity { fields["nation"] = coded(nation, code: \.digits, name: { $0.name }) }
      if let birth = card.birth { fields["birth"] = date(birth) { $0.reveal() } }
      if let from = card.validFrom { fields["validFrom"] = date(from) { $0 } }
      if let to = card.validTo {
        switch to {
        case .valid(.date(let day)): fields["validTo"] = .string(day.description)
        case .valid(.longTerm): fields["validTo"] = "长期"
        case .malformed(let raw): fields["validTo"] = malformed(raw)
        }
      }
      if let number = card.idNumber {
        fields["idNumber"] = [
          "value": .string(isMasked ? number.normalised.masked : number.normalised.reveal()),
          "checkDigit": .string(word(number.checkDigit)),
          "birth": .string(word(card.birthAgreement)), "sex": .string(word(card.sexAgreement)),
        ]
      }
    }
    if isMasked, let number = card[.passNumber] { fields["passNumber"] = .string(number.text.masked) }
    if let address = reading.additionalAddress { fields["additionalAddress"] = .string(address.reveal()) }
    var value: [String: JSONValue] = [
      "type": .string(typeWord(card.kind)), "fields": .object(fields), "photo": photo(card, picture),
    ]
    if let number = reading.cardNumber, !isMasked {
      value["cardNumber"] = .string(Hex.encode(number.reveal()))
    }
    if let prints = fingerprints(card) { value["fingerprints"] = prints }
    return .object(value)
  }

  private static func photo(_ card: IDCard, _ picture: PhotoDecoder.Picture?) -> JSONValue {
    let block = card.photo.reveal()
    guard !block.isEmpty else { return .null }
    var photo: [String: JSONValue] = [
      "format": "wlt", "decoded": .bool(picture != nil), "data": .string(Base64.encode(block)),
    ]
    if let picture {
      photo["picture"] = [
        "mediaType": .string(picture.mediaType), "data": .string(Base64.encode(picture.bytes.reveal())),
      ]
    }
    return .object(photo)
  }

  /// Nil when they were not asked for.
  private static func fingerprints(_ card: IDCard) -> JSONValue? {
    guard let bytes = card.fingerprints?.reveal() else { return nil }
    let size = IDCardFingerprint.length
    return .array(
      card.fingerprintHeaders.enumerated().map { index, header in
        var print: [String: JSONValue] = [
          "data": .string(Base64.encode(Array(bytes[index * size..<min(index * size + size, bytes.count)])))
        ]
        if let header {
          print["finger"] = .string(word(header.finger))
          print["registration"] = .string(word(header.registration))
          if let quality = header.quality { print["quality"] = .integer(Int64(quality)) }
        }
        return .object(print)
      })
  }

  private static func word(_ finger: IDCardFingerprint.Finger) -> String {
    let names = ["thumb", "index", "middle", "ring", "little"]
    switch finger {
    case .right(let number) where names.indices.contains(number - 1): return "right-" + names[number - 1]
    case .left(let number) where names.indices.contains(number - 1): return "left-" + names[number - 1]
    case .unspecifiedRight: return "right"
    case .unspecifiedLeft: return "left"
    case .unspecified, .right, .left: return "unspecified"
    case .other(let code): return "code-\(code)"
    }
  }

  private static func word(_ registration: IDCardFingerprint.Registration) -> String {
    switch registration {
    case .registered: "registered"
    case .failed: "failed"
    case .notRegistered: "notRegistered"
    case .unknown: "unknown"
    case .other(let code): "code-\(code)"
    }
  }

  private static func typeWord(_ kind: IDCard.Kind) -> String {
    switch kind {
    case .citizen: "citizen"
    case .residencePermit: "residencePermit"
    case .foreigner2017: "foreigner2017"
    case .foreigner2023: "foreigner2023"
    case .unknown: "unknown"
    }
  }

  private static func coded<Value>(
    _ value: IDCardValue<Value>, code: (Value) -> String, name: (Value) -> String?
  ) -> JSONValue {
    switch value {
    case .valid(let known):
      var object: [String: JSONValue] = ["code": .string(code(known))]
      if let name = name(known) { object["name"] = .string(name) }
      return .object(object)
    case .malformed(let raw): return malformed(raw)
    }
  }

  private static func date<Value>(_ value: IDCardValue<Value>, _ day: (Value) -> CardDate) -> JSONValue {
    switch value {
    case .valid(let known): .string(day(known).description)
    case .malformed(let raw): malformed(raw)
    }
  }

  private static func malformed(_ raw: IDCardString) -> JSONValue {
    ["malformed": .string(raw.text.reveal())]
  }

  private static func word(_ verdict: IDNumber.CheckDigit) -> String {
    switch verdict {
    case .valid: "valid"
    case .wrong: "wrong"
    case .notCheckable: "notCheckable"
    }
  }

  private static func word(_ agreement: IDCard.Agreement) -> String {
    switch agreement {
    case .agrees: "agrees"
    case .differs: "differs"
    case .notCheckable: "notCheckable"
    }
  }
}

extension Sex {
  /// The word printed on the card.
  fileprivate var chineseName: String {
    switch self {
    case .unknown: "未知"
    case .male: "男"
    case .female: "女"
    case .unspecified: "未说明"
    }
  }
}
