import Codecs
import Devices
import WireJSON

/// A card's contents as JSON, for the one caller they are read for: the only place where they are revealed.
enum CardWire {
  static func json(_ reading: CardReading) -> JSONValue {
    let card = reading.card
    var fields: [String: JSONValue] = [:]
    if case .unknown = card.kind {
      // An unknown letter yields what was read, and no guess at its fields.
      fields["text"] = .string(Base64.encode(card.text.reveal()))
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
          "value": .string(number.normalised.reveal()), "checkDigit": .string(word(number.checkDigit)),
          "birth": .string(word(card.birthAgreement)), "sex": .string(word(card.sexAgreement)),
        ]
      }
    }
    if let address = reading.additionalAddress { fields["additionalAddress"] = .string(address.reveal()) }
    let photo = card.photo.reveal()
    return [
      "type": .string(typeWord(card.kind)), "fields": .object(fields),
      "photo": photo.isEmpty
        ? .null : ["format": "wlt", "decoded": false, "data": .string(Base64.encode(photo))],
    ]
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
