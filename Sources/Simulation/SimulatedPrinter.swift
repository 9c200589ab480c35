public import Channels
import Codecs

/// A printer behind a print service, as CUPS offers it to its clients: one queue, spoken to in IPP (facts/devices.md E).
///
/// Faults of the printer show as CUPS shows them: reasons of the queue, with the job staying `processing`; a queue that was
/// stopped puts its job back and prints it from the beginning afterwards.
public struct SimulatedPrinter: SimulatedHTTPDevice {
  /// What differs between queues.
  public struct Options: Sendable, Equatable {
    /// Name of the queue.
    public var queue = "Printer"
    /// Maker and model.
    public var makeAndModel = "SIMULATED Laser A4"
    /// Media types it prints.
    public var formats = ["application/pdf", "image/jpeg", "text/plain", "application/octet-stream"]
    /// How long a page takes; 30 pages a minute are 2 s.
    public var pageTime = Duration.zero
    /// Whether a fault is told while nothing is printed; real queues often find out only when they print.
    public var tellsFaultsWhenIdle = true
    /// How long a job may be without its document before it is aborted (CUPS: 15 minutes).
    public var documentTimeout = Duration.seconds(900)
    /// Largest document in bytes.
    public var documentLimit = 64 << 20
    /// Number of the first job, so that numbers go on after a restart.
    public var firstJob = 1

    /// A queue that prints at once.
    public init() {}
  }

  /// What a person can do to it.
  public enum Command: Sendable, Equatable {
    case paper(Paper), outAfter(Int), jam(Bool), cover(isOpen: Bool), toner(Toner), stopped(Bool), online(
      Bool)
    case accepting(Bool), abortNext, idleFaults(isShown: Bool)
  }

  /// Its tray.
  public enum Paper: String, Sendable { case full, low, out }
  /// Its cartridge.
  public enum Toner: String, Sendable { case full, low, empty }

  /// What its records tell.
  public static let events = ["job", "job-cancelled", "job-aborted", "job-put-back"]

  /// How the commands are written.
  public static let commands: [CommandForm<Command>] = [
    CommandForm("paper full|low|out", "fill the tray, let it run low, or empty it") {
      $0.word().flatMap(Paper.init(rawValue:)).map { .paper($0) }
    },
    CommandForm("paper out after <n> pages", "let the tray run empty after so many more pages") {
      $0.number().map { .outAfter($0) }
    },
    CommandForm("jam", "let a sheet get stuck", .jam(true)),
    CommandForm("jam cleared", "take the stuck sheet out", .jam(false)),
    CommandForm("cover open|closed", "open or close the cover") {
      $0.word().map { .cover(isOpen: $0 == "open") }
    },
    CommandForm("toner full|low|empty", "change the cartridge, or let it run low or empty") {
      $0.word().flatMap(Toner.init(rawValue:)).map { .toner($0) }
    },
    CommandForm("stop", "stop the queue, as cupsdisable does", .stopped(true)),
    CommandForm("start", "start the queue again", .stopped(false)),
    CommandForm("offline", "switch the printer off behind its queue", .online(false)),
    CommandForm("online", "switch it on again", .online(true)),
    CommandForm("accepting yes|no", "take new jobs or refuse them") { $0.flag().map { .accepting($0) } },
    CommandForm("abort next", "let the next job fail in the print system", .abortNext),
    CommandForm("idle faults shown|hidden", "tell faults at once, or only while a job is printing") {
      $0.word().map { .idleFaults(isShown: $0 == "shown") }
    },
  ]

  struct Job: Sendable {
    let id: Int
    var name: String
    var user: String
    var state = JobState.held
    var reasons = ["job-incoming"]
    var format = ""
    var copies = 1
    var bytes = 0
    var digest = ""
    var pages = 0
    var impressions = 0
    /// Sheets that came out before the job was put back.
    var wasted = 0
    var isDamaged = false
    let created: Int
    var processing: Int?
    var completed: Int?

    var total: Int { pages * copies }
  }

  var options: Options
  var jobs: [Job] = []
  var nextJob: Int
  /// Moments are counted by what happens: the model has no clock.
  var moment = 1
  private var paper = Paper.full
  private var outAfter: Int?
  private var toner = Toner.full
  private var isJammed = false
  private var isCoverOpen = false
  var isStopped = false
  private var isOnline = true
  var isAccepting = true
  private var isNextAborted = false
  /// The page whose end is waited for; earlier ones are void.
  private var pageTimer = 0
  private var isPageRunning = false

  /// A queue with paper.
  public init(_ options: Options = Options()) {
    self.options = options
    nextJob = options.firstJob
  }

  /// Maker and model.
  public var modelName: String { options.makeAndModel }
  /// The queue's resource.
  public var basePath: String { "/printers/\(options.queue)" }
  /// The document and its message.
  public var bodyLimit: Int { options.documentLimit + (256 << 10) }
  /// A print queue.
  public var channelKind: ChannelKind { .printQueue }

  /// Paper, toner and jobs.
  public var state: [SimulationField] {
    [
      SimulationField("queue", options.queue),
      SimulationField("state", queueState.rawValue),
      SimulationField("reasons", reasons.isEmpty ? "none" : reasons.joined(separator: " ")),
      SimulationField("paper", isJammed ? "jammed" : paper.rawValue),
      SimulationField("toner", toner.rawValue),
      SimulationField("cover", isCoverOpen ? "open" : "closed"), SimulationField("accepting", isAccepting),
      SimulationField("jobs-waiting", jobs.count { !$0.state.isFinal }),
      SimulationField("jobs-completed", jobs.count { $0.state == .completed }),
    ]
  }

  // MARK: State

  var queueState: QueueState {
    isStopped ? .stopped : jobs.contains { $0.state == .processing } ? .processing : .idle
  }

  /// `printer-state-reasons` without `none`.
  var reasons: [String] {
    var reasons: [String] = []
    if isStopped { reasons.append("paused") }
    guard options.tellsFaultsWhenIdle || queueState == .processing else { return reasons }
    if paper == .out { reasons.append("media-empty-error") }
    if paper == .low { reasons.append("media-low-warning") }
    if isJammed { reasons.append("media-jam-error") }
    if isCoverOpen { reasons.append("cover-open-error") }
    if toner == .empty { reasons.append("toner-empty-error") }
    if toner == .low { reasons.append("toner-low-warning") }
    if !isOnline { reasons.append("offline-report") }
    return reasons
  }

  private var isBlocked: Bool { paper == .out || isJammed || isCoverOpen || toner == .empty || !isOnline }

  /// Carries out a command.
  public mutating func apply(_ command: Command) throws(SimulationError) -> [SimulatedAction] {
    moment += 1
    switch command {
    case .paper(let paper):
      self.paper = paper
      outAfter = nil
    case .outAfter(let pages):
      outAfter = pages
      if pages == 0 { useSheet() }
    case .jam(let jammed): isJammed = jammed
    case .cover(let isOpen): isCoverOpen = isOpen
    case .toner(let toner): self.toner = toner
    case .online(let on): isOnline = on
    case .accepting(let yes): isAccepting = yes
    case .abortNext: isNextAborted = true
    case .idleFaults(let isShown): options.tellsFaultsWhenIdle = isShown
    case .stopped(let stopped):
      isStopped = stopped
      if stopped { return putBack() }
    }
    return advance()
  }

  private mutating func putBack() -> [SimulatedAction] {
    guard let index = jobs.firstIndex(where: { $0.state == .processing }) else { return [] }
    jobs[index].state = .pending
    jobs[index].reasons = ["printer-stopped"]
    jobs[index].wasted += jobs[index].impressions
    jobs[index].impressions = 0
    isPageRunning = false
    pageTimer += 1
    return [.record(record("job-put-back", jobs[index]))]
  }

  // MARK: Printing

  /// Prints until something is in the way, a page takes its time, or nothing is left.
  mutating func advance() -> [SimulatedAction] {
    var actions: [SimulatedAction] = []
    while !isStopped, !isPageRunning {
      guard
        let index = jobs.firstIndex(where: { $0.state == .processing })
          ?? jobs.firstIndex(where: { $0.state == .pending })
      else { break }
      if jobs[index].state == .pending {
        jobs[index].state = .processing
        jobs[index].reasons = ["job-printing"]
        jobs[index].processing = moment
        if jobs[index].isDamaged || isNextAborted {
          isNextAborted = false
          actions.append(
            finish(index, .aborted, jobs[index].isDamaged ? "document-format-error" : "aborted-by-system"))
          continue
        }
      }
      guard !isBlocked else { break }
      if jobs[index].impressions >= jobs[index].total {
        actions.append(finish(index, .completed, "job-completed-successfully"))
      } else if options.pageTime > .zero {
        isPageRunning = true
        pageTimer += 1
        actions.append(.wake(pageTimer, after: options.pageTime))
      } else {
        printPage(index)
      }
    }
    return actions
  }

  private mutating func printPage(_ index: Int) {
    jobs[index].impressions += 1
    useSheet()
  }

  private mutating func useSheet() {
    guard let left = outAfter else { return }
    outAfter = left > 1 ? left - 1 : nil
    if left <= 1 { paper = .out }
  }

  /// A page is done, or a job's document has not come.
  public mutating func woke(_ token: Int) -> [SimulatedAction] {
    moment += 1
    if token < 0 {
      guard let index = jobs.firstIndex(where: { $0.id == -token && $0.state == .held }) else { return [] }
      return [finish(index, .aborted, "aborted-by-system")]
    }
    guard token == pageTimer, isPageRunning else { return [] }
    isPageRunning = false
    // The page goes on only when what is in the way is gone; then it starts anew.
    if !isBlocked, let index = jobs.firstIndex(where: { $0.state == .processing }) { printPage(index) }
    return advance()
  }

  mutating func finish(_ index: Int, _ state: JobState, _ reason: String) -> SimulatedAction {
    if jobs[index].state == .processing {
      isPageRunning = false
      pageTimer += 1
    }
    jobs[index].state = state
    jobs[index].reasons = [reason]
    jobs[index].completed = moment
    let event = state == .completed ? "job" : state == .cancelled ? "job-cancelled" : "job-aborted"
    let action = SimulatedAction.record(record(event, jobs[index]))
    forgetOldJobs()
    return action
  }

  /// A print service remembers its last jobs (CUPS: 500).
  private mutating func forgetOldJobs() {
    let ended = jobs.filter(\.state.isFinal)
    guard ended.count > 500, let oldest = ended.first else { return }
    jobs.removeAll { $0.id == oldest.id }
  }

  private func record(_ event: String, _ job: Job) -> SimulationRecord {
    SimulationRecord(
      event,
      [
        SimulationField("job", job.id), SimulationField("name", job.name),
        SimulationField("format", job.format),
        SimulationField("pages", job.pages), SimulationField("copies", job.copies),
        SimulationField("impressions", job.wasted + job.impressions), SimulationField("bytes", job.bytes),
        SimulationField("digest", job.digest),
      ])
  }
}
