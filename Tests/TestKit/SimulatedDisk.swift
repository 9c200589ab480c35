public import Posix
import Synchronization

/// A disk in memory that forgets, when its power is cut, whatever was not flushed: sectors of 512 bytes that were written and not
/// flushed are lost one by one, names that were not flushed with their directory are lost, lengths come back too short or too
/// long. It is harsher than ext4: nothing is in order that a flush did not put in order.
///
/// Every change counts as a step; the power can be cut at any of them, and any of them can fail.
public final class SimulatedDisk: FileSystem {
  /// What a step does, for choosing the ones that fail.
  public enum Step: Sendable, Equatable {
    /// Named as in `FileSystem` and `OpenFile`.
    case open, write, truncate, sync, syncDirectory, makeDirectory, unlink, rename, reserve
  }

  /// What goes wrong.
  public struct Faults: Sendable {
    /// The power goes off at this step: nothing works any more until ``powerCut(seed:)``.
    public var powerOffAt: Int?
    /// The errno with which a step fails, if it is to fail.
    public var failing: @Sendable (Int, Step, String) -> Int32? = { _, _, _ in nil }
    /// Flushing files with such a path does nothing: what a program without that flush would meet.
    public var ignoresSync: @Sendable (String) -> Bool = { _ in false }

    /// Is shown every piece that is written.
    public var sees: @Sendable (_ path: String, _ bytes: [UInt8]) -> Void = { _, _ in }

    /// Nothing goes wrong.
    public init() {}
  }

  private enum Change {
    case write(Int, [UInt8])
    case truncate(Int)
  }

  private struct Inode {
    var durable: [UInt8] = []
    var current: [UInt8] = []
    var pending: [Change] = []
  }

  private enum Entry: Equatable, Sendable {
    case file(Int)
    case directory
  }

  private struct NameChange {
    /// Names that get an entry or lose it, together or not at all.
    var changes: [(name: String, entry: Entry?)]
  }

  private struct Directory {
    var durable: [String: Entry] = [:]
    var current: [String: Entry] = [:]
    var pending: [NameChange] = []
  }

  private struct State {
    var inodes: [Inode] = []
    var directories: [String: Directory] = ["/": Directory()]
    var steps = 0
    var isOff = false
    var bytes = 0
    var faults = Faults()
  }

  private let state: Mutex<State>
  private let capacity: Int

  /// An empty disk with a root directory.
  public init(capacity: Int = 1 << 30) {
    self.capacity = capacity
    state = Mutex(State())
  }

  private init(_ state: State, capacity: Int) {
    self.capacity = capacity
    self.state = Mutex(state)
  }

  /// Sets what goes wrong from now on; steps are counted anew.
  public func meet(_ faults: Faults) {
    state.withLock { state in
      state.faults = faults
      state.steps = 0
    }
  }

  /// Steps since the last ``meet(_:)``.
  public var steps: Int { state.withLock { $0.steps } }
  /// Whether the power went off.
  public var isOff: Bool { state.withLock { $0.isOff } }

  /// All bytes that the disk holds, in files that have a name and in those that have lost it, as a raw search would see them.
  public var everything: [[UInt8]] { state.withLock { $0.inodes.map(\.current) } }

  /// Paths of all files.
  public var paths: [String] {
    state.withLock { state in
      state.directories.flatMap { path, directory in
        directory.current.compactMap { name, entry in
          if case .file = entry { path == "/" ? "/\(name)" : "\(path)/\(name)" } else { nil }
        }
      }.sorted()
    }
  }

  /// The disk as it is found when the power comes back.
  /// - Parameter seed: decides what survives of that which was not flushed.
  public func powerCut(seed: UInt64) -> SimulatedDisk {
    var random = SeededRandom(seed: seed)
    return SimulatedDisk(state.withLock { Self.survivors($0, &random) }, capacity: capacity)
  }

  /// The power stayed on: it was the program that ended. Everything that it wrote is there.
  public func programEnded() {
    state.withLock { state in
      state.isOff = false
      state.faults = Faults()
      state.steps = 0
    }
  }

  private static func survivors(_ old: State, _ random: inout SeededRandom) -> State {
    var new = State()
    new.directories = [:]
    var kept: [Int: Int] = [:]
    func visit(_ path: String) {
      guard let directory = old.directories[path] ?? old.directories["\(path)\0removed"] else {
        // Its name survived and it was made anew since, or never filled.
        new.directories[path] = Directory()
        return
      }
      var entries = directory.durable
      for change in directory.pending where random.isLucky {
        for (name, entry) in change.changes { entries[name] = entry }
      }
      var found: [String: Entry] = [:]
      for (name, entry) in entries.sorted(by: { $0.key < $1.key }) {
        switch entry {
        case .directory:
          found[name] = .directory
          visit(path == "/" ? "/\(name)" : "\(path)/\(name)")
        case .file(let number):
          let place: Int
          if let known = kept[number] {
            place = known
          } else {
            place = new.inodes.count
            let content = survivor(old.inodes[number], &random)
            new.inodes.append(Inode(durable: content, current: content))
            new.bytes += content.count
            kept[number] = place
          }
          found[name] = .file(place)
        }
      }
      new.directories[path] = Directory(durable: found, current: found)
    }
    visit("/")
    return new
  }

  /// What is left of a file.
  private static func survivor(_ inode: Inode, _ random: inout SeededRandom) -> [UInt8] {
    var content = inode.durable
    // All of it, nothing of it, or some sectors of it.
    let fate = random.next() % 4
    if fate == 1 { return content }
    for change in inode.pending {
      switch change {
      case .truncate(let size): if fate == 0 || random.isLucky { resize(&content, size) }
      case .write(let offset, let bytes):
        var start = 0
        while start < bytes.count {
          let end = min(bytes.count, ((offset + start) / 512 + 1) * 512 - offset)
          if fate == 0 || random.isLucky {
            if content.count < offset + end { resize(&content, offset + end) }
            put(bytes, start..<end, into: &content, at: offset + start)
          }
          start = end
        }
      }
    }
    return content
  }

  /// The bytes of that range, put over what is there.
  private static func put(_ bytes: [UInt8], _ range: Range<Int>, into content: inout [UInt8], at offset: Int)
  {
    unsafe content.withUnsafeMutableBytes { content in
      unsafe bytes.withUnsafeBytes { bytes in
        unsafe UnsafeMutableRawBufferPointer(rebasing: content[offset..<offset + range.count]).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: bytes[range]))
      }
    }
  }

  fileprivate static func resize(_ content: inout [UInt8], _ size: Int) {
    if size < content.count {
      content.removeLast(content.count - size)
    } else {
      content += [UInt8](repeating: 0, count: size - content.count)
    }
  }

  // MARK: Steps

  private func change<T: Sendable>(
    _ step: Step, _ path: String, _ body: (inout State) throws(SystemError) -> T
  ) throws(SystemError) -> T {
    let result = state.withLock { state -> Result<T, SystemError> in
      do throws(SystemError) {
        if state.isOff { throw SystemError(call: "\(step) \(path)", code: 5) }
        state.steps += 1
        let isLast = state.steps == state.faults.powerOffAt
        defer { if isLast { state.isOff = true } }
        // A flush that the power cut interrupts has flushed nothing for sure; anything else is on its way.
        if isLast, step == .sync || step == .syncDirectory {
          throw SystemError(call: "\(step) \(path)", code: 5)
        }
        if let code = state.faults.failing(state.steps, step, path) {
          if step == .sync { Self.forget(path, &state) }
          throw SystemError(call: "\(step) \(path)", code: code)
        }
        let result = try body(&state)
        if isLast { throw SystemError(call: "\(step) \(path)", code: 5) }
        return .success(result)
      } catch { return .failure(error) }
    }
    return try result.get()
  }

  /// What the kernel does after a failed flush: what was to be flushed counts as clean. It can be read until it is evicted, and
  /// no later flush writes it (USENIX ATC 2020, "Can Applications Recover from fsync Failures?").
  private static func forget(_ path: String, _ state: inout State) {
    guard case .file(let number)? = entry(path, state) else { return }
    state.inodes[number].pending = []
  }

  private func look<T: Sendable>(
    _ path: String, _ body: (State) throws(SystemError) -> T
  ) throws(SystemError) -> T {
    let result = state.withLock { state -> Result<T, SystemError> in
      do throws(SystemError) {
        if state.isOff { throw SystemError(call: "look", code: 5) }
        return .success(try body(state))
      } catch { return .failure(error) }
    }
    return try result.get()
  }

  private static func entry(_ path: String, _ state: State) -> Entry? {
    if state.directories[path] != nil { return .directory }
    return state.directories[Files.directory(of: path)]?.current[name(path)]
  }

  private static func name(_ path: String) -> String { String(path.split(separator: "/").last ?? "") }

  private static func rename(
    _ changes: [(name: String, entry: Entry?)], in directory: String, _ state: inout State
  ) throws(SystemError) {
    guard state.directories[directory] != nil else { throw SystemError(call: "in \(directory)", code: 2) }
    for (name, entry) in changes { state.directories[directory]?.current[name] = entry }
    state.directories[directory]?.pending.append(NameChange(changes: changes))
  }

  private func grow(_ bytes: Int, _ state: inout State, _ path: String) throws(SystemError) {
    guard state.bytes + bytes <= capacity else { throw SystemError(call: "write \(path)", code: 28) }
    state.bytes += bytes
  }

  // MARK: FileSystem

  /// Opens a file.
  public func open(_ path: String, _ opening: FileOpening) throws(SystemError) -> any OpenFile {
    let found = try look(path) { Self.entry(path, $0) }
    switch (found, opening) {
    case (.directory, _): throw SystemError(call: "open \(path)", code: 21)
    case (.file, .new): throw SystemError(call: "open \(path)", code: 17)
    case (.file(let number), _): return SimulatedFile(self, number, path)
    case (nil, .reading), (nil, .existing): throw SystemError(call: "open \(path)", code: 2)
    case (nil, .creating), (nil, .new):
      let number = try change(.open, path) { (state) throws(SystemError) in
        state.inodes.append(Inode())
        let number = state.inodes.count - 1
        try Self.rename([(Self.name(path), .file(number))], in: Files.directory(of: path), &state)
        return number
      }
      return SimulatedFile(self, number, path)
    }
  }

  /// Whether a name is there now, flushed or not.
  public func exists(_ path: String) -> Bool {
    ((try? look(path) { Self.entry(path, $0) != nil }) ?? false) || path == "."
  }

  /// Bytes of a file as it is now.
  public func size(_ path: String) throws(SystemError) -> Int {
    try look(path) { (state) throws(SystemError) in
      guard case .file(let number)? = Self.entry(path, state) else {
        throw SystemError(call: "stat \(path)", code: 2)
      }
      return state.inodes[number].current.count
    }
  }

  /// The whole of a file as it is now.
  public func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
    try look(path) { (state) throws(SystemError) in
      guard case .file(let number)? = Self.entry(path, state) else {
        throw SystemError(call: "read \(path)", code: 2)
      }
      let bytes = state.inodes[number].current
      guard bytes.count <= limit else { throw SystemError(call: "read \(path)", code: 27) }
      return bytes
    }
  }

  /// Names in a directory as it is now.
  public func list(_ directory: String) throws(SystemError) -> [String] {
    try look(directory) { (state) throws(SystemError) in
      guard let found = state.directories[directory] else {
        throw SystemError(call: "list \(directory)", code: 2)
      }
      return found.current.keys.sorted()
    }
  }

  /// Makes a directory; it outlives a crash when the one above is flushed.
  public func makeDirectory(_ path: String, mode: UInt32, parents: Bool) throws(SystemError) {
    if exists(path) { return }
    let above = Files.directory(of: path)
    if parents, above != path { try makeDirectory(above, mode: mode, parents: true) }
    try change(.makeDirectory, path) { (state) throws(SystemError) in
      try Self.rename([(Self.name(path), .directory)], in: above, &state)
      state.directories[path] = Directory()
    }
  }

  /// Removes an empty directory.
  public func removeDirectory(_ path: String) throws(SystemError) {
    try change(.unlink, path) { (state) throws(SystemError) in
      guard let directory = state.directories[path] else { throw SystemError(call: "rmdir \(path)", code: 2) }
      guard directory.current.isEmpty else { throw SystemError(call: "rmdir \(path)", code: 39) }
      try Self.rename([(Self.name(path), nil)], in: Files.directory(of: path), &state)
      // What was in it and not flushed away comes back with its name, if that comes back.
      state.directories[path] = nil
      if !directory.durable.isEmpty { state.directories["\(path)\0removed"] = directory }
    }
  }

  /// Removes a name; a crash may bring it back until the directory is flushed.
  public func unlink(_ path: String) throws(SystemError) {
    guard case .file(let number)? = try look(path, { Self.entry(path, $0) }) else {
      throw SystemError(call: "unlink \(path)", code: 2)
    }
    try change(.unlink, path) { (state) throws(SystemError) in
      state.bytes -= state.inodes[number].current.count
      try Self.rename([(Self.name(path), nil)], in: Files.directory(of: path), &state)
    }
  }

  /// Gives a file another name; a crash may undo it until the directory is flushed.
  public func rename(_ path: String, to newPath: String) throws(SystemError) {
    guard case .file(let number)? = try look(path, { Self.entry(path, $0) }) else {
      throw SystemError(call: "rename \(path)", code: 2)
    }
    let (from, to) = (Files.directory(of: path), Files.directory(of: newPath))
    try change(.rename, path) { (state) throws(SystemError) in
      if from == to {
        try Self.rename([(Self.name(newPath), .file(number)), (Self.name(path), nil)], in: to, &state)
      } else {
        // Two directories: either half may be lost.
        try Self.rename([(Self.name(newPath), .file(number))], in: to, &state)
        try Self.rename([(Self.name(path), nil)], in: from, &state)
      }
    }
  }

  /// Flushes what a directory names.
  public func syncDirectory(_ path: String) throws(SystemError) {
    try change(.syncDirectory, path) { (state) throws(SystemError) in
      guard let directory = state.directories[path] else {
        throw SystemError(call: "fsync \(path)", code: 2)
      }
      state.directories[path]?.durable = directory.current
      state.directories[path]?.pending = []
    }
  }

  /// Gives a file its blocks ahead, or nothing at all when the disk has not enough.
  public func reserve(_ path: String, bytes: UInt64) throws(SystemError) {
    let file = try open(path, .creating(mode: 0o600))
    let size = try Int(file.size())
    guard size < Int(bytes) else { return }
    do throws(SystemError) {
      try change(.reserve, path) { (state) throws(SystemError) in
        try grow(Int(bytes) - size, &state, path)
        guard case .file(let number)? = Self.entry(path, state) else { return }
        Self.resize(&state.inodes[number].current, Int(bytes))
        state.inodes[number].pending.append(.truncate(Int(bytes)))
      }
    } catch {
      if size == 0 { try? unlink(path) }
      throw error
    }
  }

  /// What the disk still takes.
  public func freeSpace(_ path: String) throws(SystemError) -> Files.FreeSpace {
    try look(path) { state in
      Files.FreeSpace(
        bytes: UInt64(max(0, capacity - state.bytes)), totalBytes: UInt64(capacity), files: 1 << 20)
    }
  }

  // MARK: Files

  fileprivate func read(_ number: Int, _ path: String, at offset: Int, count: Int) throws(SystemError)
    -> [UInt8]
  {
    try look(path) { state in
      let content = state.inodes[number].current
      guard offset < content.count else { return [] }
      let end = min(content.count, offset + count)
      return unsafe [UInt8](unsafeUninitializedCapacity: end - offset) { memory, used in
        unsafe content.withUnsafeBytes {
          unsafe UnsafeMutableRawBufferPointer(memory).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: $0[offset..<end]))
        }
        used = end - offset
      }
    }
  }

  fileprivate func size(_ number: Int, _ path: String) throws(SystemError) -> Int {
    try look(path) { $0.inodes[number].current.count }
  }

  fileprivate func write(_ number: Int, _ path: String, _ bytes: [UInt8], at offset: Int) throws(SystemError)
  {
    guard !bytes.isEmpty else { return }
    try change(.write, path) { (state) throws(SystemError) in
      let end = offset + bytes.count
      let size = state.inodes[number].current.count
      if end > size {
        try grow(end - size, &state, path)
        Self.resize(&state.inodes[number].current, end)
      }
      Self.put(bytes, 0..<bytes.count, into: &state.inodes[number].current, at: offset)
      state.inodes[number].pending.append(.write(offset, bytes))
      state.faults.sees(path, bytes)
    }
  }

  fileprivate func truncate(_ number: Int, _ path: String, to size: Int) throws(SystemError) {
    try change(.truncate, path) { (state) throws(SystemError) in
      let before = state.inodes[number].current.count
      if size > before { try grow(size - before, &state, path) } else { state.bytes -= before - size }
      Self.resize(&state.inodes[number].current, size)
      state.inodes[number].pending.append(.truncate(size))
    }
  }

  fileprivate func sync(_ number: Int, _ path: String) throws(SystemError) {
    try change(.sync, path) { (state) throws(SystemError) in
      guard !state.faults.ignoresSync(path) else { return }
      // Only what is pending: what an earlier, failed flush has lost stays lost.
      for change in state.inodes[number].pending {
        switch change {
        case .truncate(let size): Self.resize(&state.inodes[number].durable, size)
        case .write(let offset, let bytes):
          let end = offset + bytes.count
          if state.inodes[number].durable.count < end { Self.resize(&state.inodes[number].durable, end) }
          Self.put(bytes, 0..<bytes.count, into: &state.inodes[number].durable, at: offset)
        }
      }
      state.inodes[number].pending = []
    }
  }
}

/// An open file of a simulated disk.
private final class SimulatedFile: OpenFile {
  private let disk: SimulatedDisk
  private let number: Int
  private let path: String

  init(_ disk: SimulatedDisk, _ number: Int, _ path: String) {
    self.disk = disk
    self.number = number
    self.path = path
  }

  func read(at offset: Int64, count: Int) throws(SystemError) -> [UInt8] {
    try disk.read(number, path, at: Int(offset), count: count)
  }
  func write(_ bytes: [UInt8], at offset: Int64) throws(SystemError) {
    try disk.write(number, path, bytes, at: Int(offset))
  }
  func truncate(to size: Int64) throws(SystemError) { try disk.truncate(number, path, to: Int(size)) }
  func beginSync() {}
  func sync() throws(SystemError) { try disk.sync(number, path) }
  func size() throws(SystemError) -> Int64 { Int64(try disk.size(number, path)) }
  func close() throws(SystemError) {}
}
