import Codecs

/// Every codec, with what must hold of it whatever it is given.
enum FuzzTargets {
  static let all: [String: @Sendable ([UInt8]) -> Void] = [
    "sdt-reply": { frames($0, of: SDTReply.self) },
    "sdt-request": { bytes in
      frames(bytes, of: SDTRequest.self) { request in
        guard let command = SDTCommand(request) else { return }
        hold(command.request == request, "a command is its request")
      }
    },
    "sdt-reports-raw": { reports($0, .raw) },
    "sdt-reports-wrapped": { reports($0, .wrapped) },
    "sdt-packet": packet,
    "id-card": card,
    "id-number": number,
    "sam-id": { bytes in
      if let id = SAMID(bytes) { hold(id.data == bytes && !id.description.isEmpty, "a number is its bytes") }
    },
    "fingerprint": { bytes in
      _ = IDCardFingerprint(block: bytes)
      let headers = IDCard(text: [], fingerprints: bytes).fingerprintHeaders
      hold(headers.count == (bytes.count + 511) / 512, "a header for each block")
    },
    "evaluator-bus": evaluatorBus,
    "escpos": escpos,
    "escpos-reply": escposReply,
    "conf": { _ = try? ConfDocument.read($0, file: "f") },
    "xml": { bytes in if let element = try? XMLReader.read(bytes) { _ = element.document(prefixes: []) } },
    "ipp": { bytes in
      guard let (message, start) = try? IPPMessage.read(bytes) else { return }
      hold(start <= bytes.count, "the document is in the bytes")
      if let encoded = try? message.bytes(), let (again, _) = try? IPPMessage.read(encoded) {
        hold(again == message, "a message is read as it was written")
      }
    },
    "escl-capabilities": { _ = try? ESCLCapabilities(parsing: $0) },
    "escl-status": { _ = try? ESCLStatus(parsing: $0) },
    "escl-settings": { _ = try? ESCLScanSettings(parsing: $0) },
    "jpeg": { bytes in
      if let frame = try? JPEGInspector.inspect(bytes) { hold(frame.width > 0, "a frame has a size") }
    },
    "png": { bytes in
      if let format = try? PNGInspector.inspect(bytes) { hold(format.width > 0, "a picture has a size") }
    },
    "bmp": { bytes in
      if let format = try? BMPInspector.inspect(bytes) { hold(format.width > 0, "a picture has a size") }
    },
    "yuyv": { bytes in
      let (width, height) = (Int(bytes.first ?? 0), Int(bytes.dropFirst().first ?? 0))
      guard let picture = try? YUYVPicture(Array(bytes.dropFirst(2)), width: width, height: height) else {
        return
      }
      let png = picture.png
      hold(png.count == PNGEncoder.length(width: width, height: height), "a file is as long as told")
      let format = try? PNGInspector.inspect(png)
      hold(format?.width == width && format?.height == height, "a picture is a file of its size")
    },
    "image": { _ = try? ImageInspector.inspect($0) },
    "pdf": { _ = try? PDFInspector.inspect($0) },
    "hid-descriptor": { _ = try? HIDReportDescriptor($0) },
    "usb-descriptors": { _ = try? USBDescriptors($0) },
    "usbip-operation": { bytes in
      var parser = USBIPOperationParser()
      for piece in pieces(bytes) {
        parser.feed(piece)
        while (try? parser.next()) != nil {}
      }
    },
    "usbip-command": { bytes in
      var parser = USBIPCommandParser()
      for piece in pieces(bytes) {
        parser.feed(piece)
        while (try? parser.next()) != nil {}
      }
    },
  ]

  /// The bytes behind the first in pieces of a size that the first chooses.
  static func pieces(_ bytes: [UInt8]) -> [[UInt8]] {
    let size = 1 + Int(bytes.first ?? 0)
    let rest = Array(bytes.dropFirst())
    return stride(from: 0, to: rest.count, by: size).map { Array(rest[$0..<min($0 + size, rest.count)]) }
  }

  private static func frames<Frame: SDTFrame>(
    _ bytes: [UInt8], of type: Frame.Type, each: (Frame) -> Void = { _ in }
  ) {
    var parser = SDTFrameParser<Frame>()
    var fed = 0
    var told = 0
    func drain() {
      while true {
        let before = parser.pending
        switch parser.next() {
        case .needMore: return
        case .error(let error):
          hold(error.dropped == before - parser.pending && error.dropped > 0, "what is dropped is told")
          told += error.dropped
        case .frame(let frame):
          let taken = before - parser.pending
          let encoded = frame.encode()
          hold((encoded.count - 1...encoded.count + 1).contains(taken), "a frame is as long as it is")
          hold(Frame(content: frame.content) == frame, "a frame is its content")
          var again = SDTFrameParser<Frame>()
          again.feed(encoded)
          hold(again.next() == .frame(frame), "a frame is read as it was written")
          each(frame)
          told += taken
        }
      }
    }
    for piece in pieces(bytes) {
      parser.feed(piece)
      fed += piece.count
      drain()
      hold(told + parser.pending == fed, "no byte is lost unseen")
    }
    while parser.pending > 0 {
      let count = parser.giveUp()
      hold(count > 0, "giving up ends")
      told += count
      drain()
    }
    hold(told == fed, "no byte is left")
  }

  private static func reports(_ bytes: [UInt8], _ framing: SDTReportFraming) {
    var reader = SDTReportReader(framing, .reply)
    for report in pieces(bytes) {
      let taken = try? reader.take(report)
      hold(taken?.count ?? 0 <= report.count, "a report holds no more than it has")
    }
    let frame = Array(bytes.prefix(SDTFraming.maximumContent))
    guard frame.count >= 3, let reply = SDTReply(content: frame) else { return }
    let encoded = reply.encode()
    var again = SDTReportReader(framing, .reply)
    let stream = framing.reports(reply: encoded).flatMap { report in (try? again.take(report)) ?? [] }
    hold(stream == encoded, "what was put into reports comes out of them")
  }

  private static func packet(_ bytes: [UInt8]) {
    guard let packet = try? SDTPacket(report: bytes) else { return }
    guard let report = packet.report else {
      hold(bytes.count > SDTReportFraming.reportSize, "a packet fits into its report")
      return
    }
    hold((try? SDTPacket(report: report)) == packet, "a packet is read as it was written")
  }

  private static func card(_ bytes: [UInt8]) {
    let withFingerprints = (bytes.first ?? 0) & 1 == 1
    guard let card = try? IDCard(readReply: Array(bytes.dropFirst()), fingerprints: withFingerprints) else {
      return
    }
    for key in IDCardKey.allCases { _ = card[key]?.text.reveal() }
    _ = (card.sex, card.ethnicity, card.birth, card.validFrom, card.validTo, card.issueCount)
    _ = (card.renewalCount, card.nationality, card.idNumber, card.birthAgreement, card.sexAgreement)
    _ = card.fingerprintHeaders
    for address in IDCard.additionalAddresses(in: bytes) { _ = address.text.reveal() }
    if let reply = card.readReply {
      hold(reply.data.reveal() == Array(bytes.dropFirst()), "a card is its reply")
    }
    guard !card.kind.keys.isEmpty else { return }
    var fields: [IDCardKey: IDCardString] = [:]
    for key in card.kind.keys { fields[key] = card[key] }
    guard let again = try? IDCard(kind: card.kind, fields: fields) else {
      return hold(false, "the fields of a card fit on one")
    }
    for key in card.kind.keys { hold(again[key] == card[key], "a field stays as it is") }
  }

  private static func number(_ bytes: [UInt8]) {
    let kinds: [IDCard.Kind?] = [.citizen, .foreigner2017, .foreigner2023, .residencePermit, nil]
    let field = IDCardString(bytes: Array(bytes.dropFirst()))
    let number = IDNumber(field, kind: kinds[Int(bytes.first ?? 0) % kinds.count])
    hold(number.asWritten == field, "what is written stays")
    let text = String(decoding: bytes, as: UTF8.self)
    if let digit = IDNumber.checkDigit(for: text) {
      let whole = IDNumber(IDCardString(text + String(digit)))
      hold(whole.checkDigit == .valid, "a check digit that was computed is right")
    }
    _ = CardDate(digits: text)
  }

  private static func evaluatorBus(_ bytes: [UInt8]) {
    var parser = EvaluatorBusParser()
    for piece in pieces(bytes) {
      parser.feed(piece)
      loop: while true {
        let before = parser.pending
        switch parser.next() {
        case .needMore: break loop
        case .frame(let frame):
          hold(parser.pending < before, "a frame is taken")
          _ = (frame.message, EvaluatorBusCommand(frame))
        case .error: hold(parser.pending < before, "an error drops something")
        }
      }
    }
    while parser.pending > 0 { hold(parser.giveUp() > 0, "giving up ends") }
  }

  private static func escpos(_ bytes: [UInt8]) {
    var interpreter = ESCPOSInterpreter()
    for piece in pieces(bytes) {
      interpreter.feed(piece)
      while interpreter.next() != nil {}
    }
    var scanner = ESCPOSRealTimeScanner()
    for piece in pieces(bytes) { _ = scanner.feed(piece) }
  }

  private static func escposReply(_ bytes: [UInt8]) {
    var parser = ESCPOSReplyParser(fullStatus: (bytes.first ?? 0) & 1 == 1)
    for piece in pieces(bytes) {
      parser.feed(piece)
      while parser.next() != nil {}
    }
    _ = parser.giveUp()
  }
}
