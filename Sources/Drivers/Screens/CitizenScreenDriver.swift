import Channels
public import Devices
internal import Synchronization

extension Driver {
  /// The citizen's screen: a page that the agent serves to a kiosk browser on this machine (or to a tablet whose loopback
  /// is forwarded here).
  public static let citizenScreen = Driver(
    name: "citizen-screen", kind: .citizenScreen, channel: .screen, settings: []
  ) { channel, _, _ throws(Fault) in
    guard case .screen(let link) = channel else {
      throw Fault(.deviceUnmatched, "citizen-screen needs a screen")
    }
    return PagedScreen(link)
  }
}

/// A screen as long as it is in the table; whether a page shows it comes and goes.
private final class PagedScreen: CitizenScreen {
  let identity = DeviceIdentity(model: "citizen's screen")
  let notices: AsyncStream<DeviceNotice>
  private let link: any ScreenLink
  private let isPresent = Mutex(false)
  private let listening: Mutex<Task<Void, Never>?>

  init(_ link: any ScreenLink) {
    self.link = link
    let (stream, outlet) = AsyncStream<DeviceNotice>.makeStream()
    notices = stream
    listening = Mutex(nil)
    let task = Task { [weak self] in
      for await event in link.events {
        switch event {
        case .present(let present):
          self?.isPresent.withLock { $0 = present }
          outlet.yield(.report(Self.report(present)))
        case .input(let input, _): outlet.yield(.screen(input))
        // Without a level it is recorded and never counts.
        case .stale(let level):
          outlet.yield(.rating(RatingPress(rawKey: level, level: nil, address: 0) {}))
        }
      }
      outlet.finish()
    }
    listening.withLock { $0 = task }
  }

  private static func report(_ isPresent: Bool) -> DeviceReport {
    isPresent
      ? DeviceReport(state: .online) : DeviceReport(state: .noDevice, reason: Fault(.screenAbsent))
  }

  func show(_ view: ScreenView) async { await link.show(view) }

  func check(_ level: HealthLevel) async throws(Fault) -> DeviceReport {
    Self.report(isPresent.withLock { $0 })
  }

  func detach() async {
    await link.close()
    await listening.withLock { $0 }?.value
  }
}
