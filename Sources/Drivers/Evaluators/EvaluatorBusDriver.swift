internal import Channels
public import Devices

extension Driver {
  /// Desk callers and key evaluators on the multi-drop serial bus with frames `FF 68 … 16` (facts/devices.md C4a; one
  /// source).
  public static let evaluatorBus = Driver(
    name: "evaluator-ff68", kind: .evaluator, channel: .byteStream,
    settings: SettingSpec.line(baud: 9600) + [
      SettingSpec(
        "address", .integer(0...255), standard: "1",
        "Address of the evaluator and its number plate: where prompts go. Presses are taken from every address."
      ),
      SettingSpec(
        "keys", .map(keys: 0...255, values: 1...5), standard: "",
        "Which key means which level, key:level. A key that is not listed has no level."),
      SettingSpec(
        "plate", .boolean, standard: "yes", "Whether it has a plate of three digits for the called number."),
      SettingSpec("beep-with-prompt", .boolean, standard: "no", "Whether a prompt sounds the beep too."),
      SettingSpec(
        "repeat-window", .duration(milliseconds: 0...60_000), standard: "1500 ms",
        "A frame that comes again within this time is the same press: its acknowledgement was lost, or is still due. "
          + "Longer than the device waits before it sends again."
      ),
      SettingSpec(
        "line-echo", .boolean, standard: "no",
        "Whether the line hears its own voice, as two-wire adapters without echo suppression do."),
      SettingSpec(
        "write-timeout", .duration(milliseconds: 10...60_000), standard: "2 s",
        "How long the line may take to accept a frame."),
    ]
  ) { channel, settings, context throws(Fault) in
    guard case .byteStream(let stream) = channel else {
      throw Fault(.deviceUnmatched, "evaluator-ff68 needs a byte stream")
    }
    return await EvaluatorBus.attach(stream, settings, context)
  }
}
