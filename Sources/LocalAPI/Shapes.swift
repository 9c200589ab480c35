import Devices

/// The forms of the API's bodies and answers, by noun.
public enum Shapes {
  static let requestIDSummary = "The caller's idempotency key: the same id never does the same thing twice."
  static let requestStates = ["running", "done", "failed", "unknown", "cancelled"]

  /// Members that every command to a device takes.
  public static let command: [Shape.Field] = [
    .required("requestId", .identifier, requestIDSummary),
    .optional("visit", .uuid, "The visit it belongs to; the active one unless given."),
    .optional("cases", .array(.text(max: 64), max: 50), "Case numbers (办件编号) it belongs to."),
    .optional("context", .opaque(maxBytes: 4096), "The caller's own JSON, passed on to the intake as it is."),
  ]

  static let caseField: Shape = .object([
    .required("case", .text(max: 64), "Case number (办件编号)."),
    .optional("itemCode", .text(max: 64), "Code of the item (事项编码)."),
    .optional("itemName", .text(max: 200), "Its name."),
    .optional("relation", .word(["new", "supplement"]), "A new case, or a supplement to an old one."),
  ])

  static let visitFacts: [Shape.Field] = [
    .optional("cases", .array(caseField, max: 50), "Cases, as they become known."),
    .optional("window", .text(max: 32), "Window."),
    .optional("staffNumber", .text(max: 32), "The clerk's number."),
    .optional(
      "ticket",
      .object([
        .optional("id", .uuid, "The ticket's id."),
        .required("number", .text(max: 16), "The number as printed."),
        .optional("businessDay", .text(max: 10), "The day, YYYY-MM-DD."),
      ]), "The queue ticket."),
    .optional("applicantKind", .word(["person", "organisation"]), "Who applies."),
    .optional("agentHandling", .boolean, "Somebody acts for the applicant (代办)."),
  ]

  static let fault: Shape = .object([
    .required("code", .text(max: 64), "Stable code."),
    .required("title", .text(max: 400), "What is wrong and what to do."),
    .required("action", .word(FaultAction.allCases.map(\.rawValue)), "What has to be done."),
    .required("actor", .word(Actor.allCases.map(\.rawValue)), "Who has to do it."),
    .required("retry", .boolean, "The same may succeed if tried again."),
    .optional("detail", .text(max: 1000), "Technical detail."),
  ])

  /// A device.
  public static let device: [Shape.Field] = [
    .required("role", .identifier, "The name the configuration gives it."),
    .required("kind", .word(DeviceKind.allCases.map(\.rawValue)), "Kind."),
    .required("state", .word(DeviceState.allCases.map(\.rawValue)), "Operating state."),
    .required("admin", .word(["locked", "unlocked"]), "Admin state."),
    .required("simulated", .boolean, "It is a simulated device."),
    .required("port", .text(max: 256), "Where it is."),
    .required("since", .timestamp, "When this state began."),
    .optional("reason", fault, "Why it is not online, or a warning."),
    .optional("paper", .word(PaperState.allCases.map(\.rawValue)), "Paper."),
    .optional("cover", .word(CoverState.allCases.map(\.rawValue)), "Cover."),
    .optional("card", .word(CardPresence.allCases.map(\.rawValue)), "Card on the reader."),
    .optional("model", .text(max: 200), "Model."),
    .optional("serial", .text(max: 200), "The unit's number."),
    .optional("firmware", .text(max: 200), "Firmware."),
    .optional("profile", .text(max: 64), "The profile in use."),
    .optional("details", .table(.text(max: 400)), "Technical facts."),
    .required("counters", .table(.integer(0...Int.max)), "Counts since the start of the service."),
  ]

  static let status: [Shape.Field] = [
    .required("version", .text(max: 64), "Version."),
    .required("state", .word(["starting", "running", "stopping"]), "The service."),
    .required("startedAt", .timestamp, "Since when."),
    .required("hall", .text(max: 64), "Hall."),
    .required("position", .text(max: 64), "Position in the hall."),
    .required("devices", .array(.object(device), max: 256), "Every device."),
    .required("outbox", .object(outbox), "What waits for the intake."),
    .optional("visit", .uuid, "The active visit."),
    .required("warnings", .array(fault, max: 64), "What somebody should see to."),
  ]

  private static let considered = Shape.array(
    .object([
      .required("profile", .text(max: 64), "Profile."),
      .required("matches", .boolean, "All its predicates hold."),
      .required(
        "sentence", .text(max: 1000), "The first predicate that failed and what would make it match."),
    ]), max: 1000)

  static let explanation: [Shape.Field] = [
    .required("role", .identifier, "The device."),
    .required("port", .text(max: 256), "Where it is."),
    .required(
      "facts", .table(.text(max: 400)), "What is known of it: of the way that is taken, or comes nearest."),
    .optional("chosen", .text(max: 64), "The profile in use."),
    .required("considered", considered, "Every profile of this kind, for that way."),
    .required(
      "candidates",
      .array(
        .object([
          .required("address", .text(max: 256), "What would be opened."),
          .optional("unit", .text(max: 400), "The device it is a part of."),
          .required("facts", .table(.text(max: 400)), "What is known of it."),
          .optional("chosen", .text(max: 64), "The profile by which this one is taken."),
          .required("considered", considered, "Every profile of this kind."),
          .required(
            "rivals",
            .array(
              .object([
                .required("name", .text(max: 200), "A program or a driver of the kernel."),
                .optional("process", .integer(0...Int.max), "Its process."),
                .required("device", .text(max: 200), "What it has."),
                .required("sentence", .text(max: 400), "In words."),
              ]), max: 64), "Who has it, or is known to take such devices."),
        ]), max: 256), "Every way to open what is there, the one taken first."),
    .optional("refusal", fault, "Why none is taken."),
    .required("advice", .text(max: 1000), "What to do."),
  ]

  static let plugged: [Shape.Field] = [
    .required("port", .text(max: 64), "The USB socket: `port = usb:port:…`."),
    .required("id", .text(max: 16), "Vendor and product id."),
    .required("name", .text(max: 400), "What it calls itself."),
    .optional("serial", .text(max: 200), "Its number: `port = usb:serial:…`."),
    .required("roles", .array(.text(max: 64), max: 256), "The roles that use it."),
    .required(
      "addresses",
      .array(
        .object([
          .required("address", .text(max: 256), "What it can be opened by."),
          .required("facts", .table(.text(max: 400)), "What is known of it."),
        ]), max: 256), "Its interfaces and nodes."),
    .required(
      "fits",
      .array(
        .object([
          .required("kind", .text(max: 64), "Kind of device."),
          .required("profile", .text(max: 64), "The profile that fits best."),
          .required("address", .text(max: 256), "What it would be opened by."),
        ]), max: 16), "What it could serve as."),
  ]

  /// A visit.
  public static let visit: [Shape.Field] =
    [
      .required("visit", .uuid, "Its id: the key everything joins by."),
      .required("state", .word(["active", "suspended", "closed"]), "State."),
      .required("openedAt", .timestamp, "When it was opened."),
      .optional("closedAt", .timestamp, "When it was closed."),
      .optional("outcome", .word(["completed", "returned", "abandoned"]), "How it ended."),
      .required("implicit", .boolean, "It was opened by a command without a visit."),
      .optional("ratingAsked", .boolean, "The citizen was asked for a rating."),
    ] + visitFacts

  static let ticket: [Shape.Field] = [
    .required("ticket", .uuid, "Its id."),
    .required("number", .text(max: 16), "The number as printed."),
    .required("service", .identifier, "Service."),
    .required("class", .word(["normal", "priority", "appointment"]), "Class."),
    .required("businessDay", .text(max: 10), "YYYY-MM-DD."),
    .required("issuedAt", .timestamp, "When the number was allocated."),
    .required("checkCode", .text(max: 16), "Proves that the number is of this dispenser."),
    .optional("waitingAhead", .integer(0...9999), "As told by the caller."),
    .required("printed", .word(["yes", "no", "unknown"]), "Whether it is on paper."),
    .optional("fault", fault, "Why it is not, or not known to be."),
  ]

  static let cardReading: [Shape.Field] = [
    .required(
      "type", .word(["citizen", "residencePermit", "foreigner2017", "foreigner2023", "unknown"]),
      "Type of card."),
    .required("fields", .object(cardFields), "The card's fields; those this type has."),
    .required(
      "photo",
      .nullable(
        .object([
          .required("format", .word(["wlt"]), "The block as the card holds it."),
          .required("decoded", .boolean, "Whether the hall's decoder has given a picture of it."),
          .required("data", .text(max: 8192), "The block, base64."),
          .optional(
            "picture",
            .object([
              .required("mediaType", .word(["image/png", "image/jpeg", "image/bmp"]), "Its format."),
              .required("data", .text(max: 100_000), "Base64; 102 × 126 pixels."),
            ]), "The decoded photo."),
        ])), "The photo."),
    .optional(
      "fingerprints",
      .array(
        .object([
          .optional(
            "finger", .text(max: 20), "right-thumb to left-little, right, left, unspecified or code-N."),
          .optional("registration", .text(max: 20), "registered, failed, notRegistered, unknown or code-N."),
          .optional("quality", .integer(1...100), "Rising; left out when the card does not know it."),
          .required("data", .text(max: 1024), "The block, base64."),
        ]), max: 8), "Fingerprints, where the device's settings ask for them; possibly none."),
    .optional(
      "cardNumber", .text(max: 80), "Number of the card's body, hexadecimal, where the settings ask for it."),
    .optional("visit", .uuid, "The visit."),
  ]

  /// What does not have the form the standard gives it is `{"malformed": TEXT}` instead.
  private static let cardFields: [Shape.Field] = [
    .optional("name", .opaque(maxBytes: 1024), "姓名 (GA 450): name in Chinese characters."),
    .optional("englishName", .opaque(maxBytes: 1024), "英文姓名: name in Latin letters, foreigners."),
    .optional("sex", .opaque(maxBytes: 1024), "性别 (GB/T 2261.1): `code` and `name`."),
    .optional("nation", .opaque(maxBytes: 1024), "民族 (GB/T 3304): `code` and `name`."),
    .optional("birth", .opaque(maxBytes: 1024), "出生 (GA 450): date."),
    .optional("address", .opaque(maxBytes: 1024), "住址 (GA 450)."),
    .optional(
      "idNumber", .opaque(maxBytes: 1024),
      "公民身份号码 (GB 11643) or the permit's number: `value`, and the verdicts `checkDigit`, `birth`, `sex`."),
    .optional("authority", .opaque(maxBytes: 1024), "签发机关 (GA 450)."),
    .optional("validFrom", .opaque(maxBytes: 1024), "有效期限起 (GA 450): date."),
    .optional("validTo", .opaque(maxBytes: 1024), "有效期限止 (GA 450): date or 长期."),
    .optional("passNumber", .opaque(maxBytes: 1024), "通行证号码: residence permits."),
    .optional("issueCount", .opaque(maxBytes: 1024), "签发次数: residence permits."),
    .optional("renewalCount", .opaque(maxBytes: 1024), "换证次数: foreigners, 2023."),
    .optional("nationality", .opaque(maxBytes: 1024), "国籍 (GB/T 2659): three letters, foreigners."),
    .optional("version", .opaque(maxBytes: 1024), "证件版本号: foreigners, 2017."),
    .optional("authorityCode", .opaque(maxBytes: 1024), "申请受理机关代码: foreigners, 2017."),
    .optional("previousNumberLink", .opaque(maxBytes: 1024), "与前证号码的关联: foreigners, 2023."),
    .optional("additionalAddress", .opaque(maxBytes: 4096), "追加住址: lines."),
    .optional("letter", .integer(0...65_535), "Of an unknown type: the code of its letter."),
    .optional("text", .text(max: 2048), "Of an unknown type: the text block, base64."),
  ]

  static let scanRequest: [Shape.Field] = [
    .optional("material", .uuid, "An open material to add to; a new one unless given."),
    .optional("source", .word(ScanSource.allCases.map(\.rawValue)), "Feeder unless given."),
    .optional("duplex", .boolean, "Both sides."),
    .optional("resolution", .integer(75...1200), "Dots per inch; 300 unless given."),
    .optional("colour", .word(ScanColour.allCases.map(\.rawValue)), "Colour unless given."),
    .optional("maximumPages", .integer(1...2000), "At most so many pages."),
    .optional("hold", .boolean, "Keep the pages here until submission."),
    .optional("name", .text(max: 200), "What the material is."),
    .optional("catalogItem", .text(max: 100), "Its code in the catalogue (材料编码)."),
    .optional("form", .word(["original", "copy"]), "What is scanned."),
    .optional("replaces", .uuid, "The page that the first page of this scan replaces."),
  ]

  static let page: [Shape.Field] = [
    .required("page", .uuid, "Its id."),
    .required("order", .integer(1...100_000), "Place in the material, from 1."),
    .required("sheet", .integer(1...100_000), "Sheet, from 1."),
    .required("side", .word(["front", "back"]), "Side."),
    .required("blob", .digest, "SHA-256 of the image."),
    .required("mediaType", .text(max: 64), "Media type."),
    .required("bytes", .integer(1...Int.max), "Size."),
    .required("width", .integer(1...1_000_000), "Pixels."),
    .required("height", .integer(1...1_000_000), "Pixels."),
    .optional("dpi", .integer(1...10_000), "Dots per inch, where the image says."),
    .required("colour", .word(ScanColour.allCases.map(\.rawValue)), "Colour."),
    .required("held", .boolean, "Kept here until submission."),
    .optional("replaces", .uuid, "The page it replaces."),
    .optional("flags", .array(.text(max: 32), max: 8), "What a person should look at."),
  ]

  static let material: [Shape.Field] = [
    .required("material", .uuid, "Its id."),
    .required("visit", .uuid, "The visit."),
    .required("state", .word(["open", "complete", "interrupted", "abandoned"]), "State."),
    .optional("name", .text(max: 200), "What it is."),
    .optional("catalogItem", .text(max: 100), "Its code in the catalogue."),
    .optional("form", .word(["original", "copy"]), "What was scanned."),
    .required("pages", .array(.object(page), max: 2000), "In order, without those withdrawn."),
  ]

  static let scanResult: [Shape.Field] = [
    .required("material", .object(material), "The material as it is now."),
    .required("scanned", .array(.uuid, max: 2000), "Pages of this scan, in order."),
    .required("outcome", .word(["complete", "interrupted"]), "How the scan ended."),
    .optional("fault", fault, "Why it was interrupted; the pages above are safe."),
  ]

  static let ratingRequest: [Shape.Field] = [
    .required("serviceNumber", .integer(1...99), "Which service to this visit: one rating for one service."),
    .optional("case", .text(max: 64), "The case rated; the visit is unless given."),
    .optional("serviceName", .text(max: 200), "Name of the service."),
    .optional("serviceTime", .timestamp, "When it was given."),
    .optional("itemCode", .text(max: 64), "Code of the item."),
    .optional("phase", .word(["accepting", "processing", "done"]), "Phase of the case."),
    .optional("staffNumber", .text(max: 32), "The clerk rated."),
    .optional("window", .text(max: 32), "Window."),
    .optional("timeoutSeconds", .integer(1...600), "How long the citizen has; 60 unless given."),
  ]

  static let ratingResult: [Shape.Field] = [
    .required("rating", .uuid, "Its id."),
    .required(
      "outcome", .word(["rated", "timeout", "declined", "cancelled", "deviceLost"]), "Rated or not."),
    .required("visit", .uuid, "The visit."),
  ]

  static let screenContent: [Shape.Field] = [
    .required(
      "content", .word(["idle", "called", "qr", "fields", "url"]),
      "What is shown. `idle` is what the screen says when nothing is asked."),
    .optional("title", .text(max: 120), "Title."),
    .optional("titleEnglish", .text(max: 120), "Title in English."),
    .optional("text", .text(max: 400), "Text under it: `idle`, `qr`."),
    .optional("textEnglish", .text(max: 400), "Text in English."),
    .optional("clerkName", .text(max: 40), "With `idle`: the clerk's name."),
    .optional("clerkNumber", .text(max: 32), "With `idle`: the clerk's number."),
    .optional("number", .text(max: 16), "With `called`: the queue number."),
    .optional("window", .text(max: 32), "With `called`: where to go; the visit's window unless given."),
    .optional("code", .text(max: 2331), "With `qr`: what the symbol says."),
    .optional(
      "fields",
      .array(
        .object([
          .required("label", .text(max: 60), "Name of the field."),
          .optional("labelEnglish", .text(max: 60), "Its name in English."),
          .required("value", .text(max: 400), "What it says."),
        ]), max: 40), "With `fields`: what the citizen is to check."),
    .optional("url", .text(max: 2000), "With `url`: the page, in a window of its own."),
    .optional("rating", .boolean, "With `url`: it is a rating page; told to the intake as shown or closed."),
    .optional("serviceNumber", .integer(1...99), "With `rating`: which service to this visit."),
    .optional("serviceName", .text(max: 200), "With `rating`: name of the service."),
    .optional("itemCode", .text(max: 64), "With `rating`: code of the item."),
    .optional("timeoutSeconds", .integer(1...3600), "How long it is shown; 60 unless given."),
  ]

  static let screenResult: [Shape.Field] = [
    .optional("shown", .boolean, "With `idle`."),
    .optional(
      "outcome",
      .word(["shown", "confirmed", "declined", "signed", "timeout", "cancelled", "closed", "blocked"]),
      "How it ended."),
    .optional("cancelledBy", .word(["clerk", "visit", "service"]), "Who ended it."),
    .optional("document", .text(max: 64), "SHA-256 of the document."),
    .optional("pages", .integer(0...1000), "How many it has."),
    .optional("signature", .text(max: 64), "SHA-256 of the picture, as the intake gets it."),
    .optional("strokes", .text(max: 64), "SHA-256 of the strokes."),
  ]

  static let printResult: [Shape.Field] = [
    .required("job", .uuid, "Its id."),
    .required("printed", .word(["yes", "no", "unknown"]), "Whether it is on paper."),
    .optional("pages", .integer(0...100_000), "Pages the queue counted."),
    .optional("reasons", .array(.text(max: 128), max: 32), "The queue's reasons."),
    .optional("fault", fault, "Why it is not, or not known to be."),
  ]

  static let request: [Shape.Field] = [
    .required("requestId", .identifier, "The caller's id."),
    .required("verb", .text(max: 32), "What was asked."),
    .optional("role", .identifier, "Of which device."),
    .required("state", .word(requestStates), "Where it is."),
    .required("startedAt", .timestamp, "When it came."),
    .optional("status", .integer(100...599), "HTTP status of its answer."),
    .optional("result", .opaque(maxBytes: 1 << 20), "Its answer; never a card's contents."),
    .optional("resolution", .word(["reprinted", "confirmed", "voided"]), "How an unknown was settled."),
  ]

  static let outbox: [Shape.Field] = [
    .required("pendingEvents", .integer(0...Int.max), "Events not yet accepted."),
    .required("pendingPages", .integer(0...Int.max), "Pages not yet accepted."),
    .required("pendingBytes", .integer(0...Int.max), "Their bytes."),
    .required("quarantined", .integer(0...Int.max), "Items set aside for a person."),
    .optional("oldest", .timestamp, "The oldest that waits."),
    .required("intake", .word(["unknown", "reachable", "trouble"]), "How the intake does."),
    .optional("trouble", .text(max: 1000), "What is wrong there."),
    .required(
      "fill", .word(["normal", "warning", "full"]),
      "How full it is with pages; when full no more are scanned."),
    .required(
      "limits",
      .table(
        .object([
          .required("used", .integer(0...Int.max), "What is there now; of keptFreeBytes what is free."),
          .required("limit", .integer(0...Int.max), "The limit."),
          .required("fill", .word(["normal", "warning", "full"]), "Warning from four fifths on."),
        ])),
      "Each limit: pageBytes, pages, events, waitSeconds, keptFreeBytes, and reserve (1 when it had to be given up)."
    ),
    .optional("quarantineEnds", .timestamp, "When the oldest item that was set aside is erased for good."),
    .optional("nextProbe", .timestamp, "When it is tried next."),
    .required("sealed", .boolean, "What waits is sealed under a key."),
    .required(
      "delivered", .table(.integer(0...Int.max)), "Accepted since the state directory was new, by type."),
  ]

  static let outboxItem: [Shape.Field] = [
    .required("item", .text(max: 80), "Its id."),
    .required("kind", .word(["event", "page"]), "What it is."),
    .required("state", .word(["quarantined"]), "State."),
    .optional("type", .text(max: 255), "Type of event."),
    .optional("source", .text(max: 400), "Where it came from."),
    .optional("sequence", .integer(0...Int.max), "Place within its source."),
    .optional("since", .timestamp, "When it was set aside."),
    .optional("ends", .timestamp, "When it is erased for good, if nobody sees to it."),
    .optional("pages", .array(.text(max: 64), max: 65_535), "The pages that an event names, by SHA-256."),
    .required("bytes", .integer(0...Int.max), "Size."),
    .required("attempts", .integer(0...Int.max), "How often it was tried."),
    .required("reason", .text(max: 2000), "Why it was set aside."),
    .required("advice", .text(max: 1000), "What to do."),
  ]

  static let outboxResult: [Shape.Field] = [
    .required("item", .text(max: 80), "Its id."),
    .required("state", .word(["pending", "discarded"]), "What became of it."),
  ]

  static let simulated: [Shape.Field] = [
    .required("name", .identifier, "The device."),
    .required("state", .table(.text(max: 1000)), "What a person would see of it."),
    .required("commands", .array(.text(max: 200), max: 100), "What can be done to it."),
  ]
}
