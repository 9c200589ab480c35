import Channels
import Devices
import Testing

@Suite struct SettingsTests {
  @Test(arguments: [
    (SettingForm.integer(1...9), "9", true), (.integer(1...9), "0", false), (.integer(1...9), "x", false),
    (.integer(1...9), "99999999999999999999", false), (.integer(1...9), "", false),
    (.duration(milliseconds: 10...1000), "10 ms", true), (.duration(milliseconds: 10...1000), "1 s", true),
    (.duration(milliseconds: 10...1000), "1s", true), (.duration(milliseconds: 10...1000), "9 ms", false),
    (.duration(milliseconds: 10...1000), "2 s", false), (.duration(milliseconds: 10...1000), "100", false),
    (.duration(milliseconds: 10...1000), "99999999999999999999 s", false),
    (.boolean, "yes", true), (.boolean, "off", true), (.boolean, "1", false),
    (.word(["a", "b"]), "b", true), (.word(["a", "b"]), "B", false), (.text, "", true),
    (.map(keys: 0...3, values: 1...5), "1:5 0:4,2:3", true), (.map(keys: 0...3, values: 1...5), "", true),
    (.map(keys: 0...3, values: 1...5), "4:5", false), (.map(keys: 0...3, values: 1...5), "1:6", false),
    (.map(keys: 0...3, values: 1...5), "1:5 1:4", false), (.map(keys: 0...3, values: 1...5), "1", false),
    (.bits(of: 1...4, meanings: ["jam"]), "3.2:jam 4.7:none", true),
    (.bits(of: 1...4, meanings: ["jam"]), "", true),
    (.bits(of: 1...4, meanings: ["jam"]), "5.2:jam", false),
    (.bits(of: 1...4, meanings: ["jam"]), "3.8:jam", false),
    (.bits(of: 1...4, meanings: ["jam"]), "3.2:fire", false),
    (.bits(of: 1...4, meanings: ["jam"]), "3.2", false),
  ])
  func `a value is of its form or is not`(form: SettingForm, text: String, isRight: Bool) {
    #expect(form.accepts(text) == isRight)
    #expect((DriverSettings.problem(with: text, form: form) == nil) == isRight)
  }

  @Test func `given values overlay the standard ones, and unknown keys are left out`() {
    let settings = DriverSettings(
      SampleDrivers.printer.settings,
      values: [
        "columns": "32", "settle": "300 ms", "keys": "1:5 0:4", "bits": "3.2:paperJam 3.3:none", "other": "1",
      ])
    #expect(settings.integer("columns") == 32)
    #expect(settings.duration("settle") == .milliseconds(300))
    #expect(settings.text("cut") == "full")
    #expect(settings.boolean("status"))
    #expect(settings.map("keys") == [1: 5, 0: 4])
    #expect(
      settings.bits("bits") == [
        StatusBitMeaning(status: 3, bit: 2, meaning: "paperJam"),
        StatusBitMeaning(status: 3, bit: 3, meaning: nil),
      ])
    #expect(settings.text("other") == "")
    #expect(settings.integer("other") == 0)
    #expect(settings.line == LineSettings(baud: 9600))
  }

  @Test func `line settings come from the profile's words`() {
    let settings = DriverSettings(SettingSpec.line(baud: 115_200), values: ["flow-control": "hardware"])
    #expect(settings.line == LineSettings(baud: 115_200, flowControl: .hardware))
    let usb = DriverSettings(
      SettingSpec.line(baud: 9600),
      values: [
        "usb-endpoints": "81+85/02+06:7", "usb-kernel-driver": "keep", "usb-zero-packet": "yes",
        "usb-read-size": "4096", "dtr": "no",
      ])
    #expect(
      usb.line
        == LineSettings(
          raisesDTR: false,
          usb: USBLine(
            layout: PipeLayout(heads: (0x81, 0x02), bodies: (0x85, 0x06), headLength: 7), givesBack: false,
            endsWithZeroPacket: true, readSize: 4096)))
    let left = DriverSettings(SettingSpec.line(baud: 9600), values: ["usb-kernel-driver": "leave"])
    #expect(left.line == LineSettings(usb: USBLine(takesFromKernel: false)))
  }

  @Test(arguments: [("auto", true), ("81/02", true), ("81+85/02+06:7", true), ("1", false), ("", false)])
  func `endpoints are written as a layout or left to the device`(text: String, isRight: Bool) {
    #expect(SettingForm.endpoints.accepts(text) == isRight)
  }

  @Test(arguments: [
    (ChannelError.absent("x"), FaultCode.deviceAbsent), (.gone, .deviceGone), (.denied("x"), .deviceDenied),
    (.busy("usblp"), .deviceBusy), (.timedOut, .deviceSilent), (.cancelled, .commandCancelled),
    (.malformed("x"), .deviceGarbled), (.system(call: "read", code: 5), .lineFailed),
  ])
  func `each failure of a channel is another fault`(error: ChannelError, code: FaultCode) {
    let fault = Fault(error, doing: "asking")
    #expect(fault.code == code)
    #expect(fault.evidence == "asking: " + error.summary)
  }
}
