import LabKit
import Posix
import TestKit
import Testing

extension KernelLab {
  @Suite struct CardSoakTests {
    /// `HALL_LAB_READS` on each form at once, 20 if not set; 10 000 is the full size, which takes hours. `HALL_LAB_FORMS` names
    /// some of the forms.
    @Test(.timeLimit(.minutes(150)))
    func `reads in a row from every USB form end in the right card or the right fault`() async throws {
      let reads = Lab.number("HALL_LAB_READS", otherwise: 20)
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        try await Programs.run(
          "cp", "\(Repository.root)/Tests/Fixtures/card_reads.py", "\(guest.shared)/card_reads.py")
        let forms =
          Environment["HALL_LAB_FORMS"]?.split(separator: ",").map(String.init)
          ?? ["single-pair", "split-pipe", "0316-5020", "hid", "hid-wrapped"]
        let roles = forms.map { "reader-\($0)" }
        let models = zip(roles, forms).map { role, form in
          "[device \(role)]\nmodel = id-card-reader\nfingerprint-module = yes\nusb = \(form)\n"
        }
        _ = try await GuestDevices.plugged(guest, JourneyTests.hall("seed = 7\n" + models.joined()))
        let settings = """
          find-interval = 1 ms
          retry-pause = 1 ms
          debounce = 0 ms
          attach-pause = 20 ms
          pause-timeout = 200 ms
          additional-address = yes
          """
        let hall = try await GuestHall.start(
          on: guest,
          zip(1..., roles).map { port, role in
            .init(role, "id-card-reader", at: "usb:port:1-\(port)", settings)
          })
        for role in roles { try await hall.device(role, is: "online") }
        // A report is not cut by what carries it, and two pipes are told apart by what comes at once.
        let whole = roles.filter { $0.contains("hid") || $0.contains("split") }.map { "--whole \($0)" }
        let command = """
          python3 /mnt/card_reads.py --api \(GuestHall.socket) --control \(GuestDevices.directory)/control.sock \
            --reads \(reads) --seed 1 \(whole.joined(separator: " ")) \(roles.joined(separator: " "))
          """
        // The reading process is its own session's: hours are too long for one request to the guest. How far it is can be
        // read on the host.
        let soak = try await guest.launch(
          "{ \(command); echo ended $?; } 2>&1 | tee /mnt/card-reads.log", as: "root")
        let end = try await soak.line(containing: "ended ")
        print(soak.text)
        #expect(end.text == "ended 0", "\(soak.text)\n\(hall.agent.text.suffix(4000))")
        // Nothing of the sample persons is in the log or the state.
        #expect(!hall.agent.text.contains("张测试") && !hall.agent.text.contains("11010519491231002"))
        let found = try await guest.run(
          "grep -rlaE '张测试|11010519491231002X|样例港人|810000199001010019|SAMPLE, PERSON|AAA110090010100' /var/lib/hall-agent /run/hall-agent"
        )
        #expect(found.status == 1, "\(found)")
      }
    }
  }
}
