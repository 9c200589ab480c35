import Testing

@testable import Devices

@Suite struct KeypadSettingsTests {
  @Test func `keys are named, and each means one thing`() {
    let form = SettingForm.keys(meanings: ["5", "4", "cancel"])
    for right in ["", "5:5 KP4:4", "0x0e:cancel, ESC:cancel", "esc:cancel"] {
      #expect(form.accepts(right), "\(right)")
    }
    for wrong in ["5", "5:", "5:6", "nokey:5", "5:5 5:4", "5:5 0x06:4", "0x300:5", "5:5:5", ":5"] {
      #expect(!form.accepts(wrong), "\(wrong)")
    }
    let settings = DriverSettings(
      [SettingSpec("keys", form, standard: "", "Keys.")], values: ["keys": "5:5 0x01:cancel"])
    #expect(settings.keys("keys") == [6: "5", 1: "cancel"])
  }

  @Test func `reports are bytes at places`() throws {
    let form = SettingForm.reports(meanings: ["5", "cancel"])
    for right in ["", "1=05:5", "0=02+3&0f=01:cancel 1=ff:5"] { #expect(form.accepts(right), "\(right)") }
    for wrong in [
      "1=5:5", "1=005:5", "1=05", "=05:5", "1=05:", "1=05:9", "-1=05:5", "4096=05:5", "1&0f=10:5", "1&=01:5",
      "1=05+:5", "1=+5:5", "1&0f&0f=01:5",
    ] { #expect(!form.accepts(wrong), "\(wrong)") }
    let pattern = try #require(ReportPattern("0=02+3&0f=01:cancel"))
    #expect(
      pattern.conditions == [
        ReportPattern.Condition(offset: 0, value: 2),
        ReportPattern.Condition(offset: 3, mask: 0x0F, value: 1),
      ])
    #expect(pattern.meaning == "cancel")
    #expect(pattern.matches([2, 0, 0, 0xF1, 9]))
    for report in [[2, 0, 0, 0xF2], [3, 0, 0, 1], [2, 0, 0], []] as [[UInt8]] {
      #expect(!pattern.matches(report), "\(report)")
    }
  }

  @Test func `bytes are hexadecimal`() {
    let form = SettingForm.bytes(most: 3)
    for right in ["", "01", "01 a0 FF"] { #expect(form.accepts(right), "\(right)") }
    for wrong in ["1", "0x01", "01 a0 ff 00", "zz", "+1"] { #expect(!form.accepts(wrong), "\(wrong)") }
    let settings = DriverSettings([SettingSpec("b", form, standard: "01 a0", "Bytes.")])
    #expect(settings.bytes("b") == [1, 0xA0])
  }
}
