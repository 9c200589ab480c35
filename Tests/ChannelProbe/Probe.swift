import Channels
import LinuxChannels
import Posix

/// The channel that a script uses, and what it has begun.
actor Probe {
  private let bus = LinuxBus()
  private var stream: (any ByteStream)?
  private var begun: Task<String, Never>?

  func run(_ command: String, _ words: [String]) async -> String {
    switch command {
    case "open": return await open(words)
    case "begin":
      guard let stream else { return "error nothing is open" }
      begun = Task { await Self.transfer(stream, words) }
      return "begun"
    case "cancel":
      begun?.cancel()
      return "ok"
    case "joined":
      defer { begun = nil }
      return await begun?.value ?? "error nothing was begun"
    case "resources": return "\(ProcessInfo.openDescriptors) descriptors \(ProcessInfo.threads) threads"
    default: break
    }
    guard let stream else { return "error nothing is open" }
    switch command {
    case "discard":
      await stream.discardInput()
      return "ok"
    case "close":
      await stream.close()
      self.stream = nil
      return "ok"
    case "layout", "status", "id": return await ask(stream, command, words)
    default: return await Self.transfer(stream, [command] + words)
    }
  }

  private func open(_ words: [String]) async -> String {
    guard let address = words.first.flatMap(ChannelAddress.init) else { return "error no address" }
    var line = LineSettings(baud: 115200)
    for word in words.dropFirst() {
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      switch parts[0] {
      case "layout": line.usb.layout = PipeLayout(parts.last ?? "")
      case "leave-kernel-driver": line.usb.takesFromKernel = false
      case "no-return": line.usb.givesBack = false
      case "zero-packet": line.usb.endsWithZeroPacket = true
      case "read-size": line.usb.readSize = Int(parts.last ?? "") ?? 0
      default: return "error no option \(word)"
      }
    }
    do throws(ChannelError) {
      guard case .byteStream(let opened) = try await bus.open(address, as: .byteStream, line: line) else {
        return "error no byte stream"
      }
      stream = opened
      let layouts = (opened as? any LayoutChoice)?.layouts ?? []
      return (["opened"] + layouts.map(\.description)).joined(separator: " ")
    } catch {
      return "error \(error.summary)"
    }
  }

  private func ask(_ stream: any ByteStream, _ command: String, _ words: [String]) async -> String {
    do throws(ChannelError) {
      switch (command, stream) {
      case ("layout", let choice as any LayoutChoice):
        guard let layout = words.first.flatMap(PipeLayout.init) else { return "error no layout" }
        try await choice.use(layout)
        return "ok"
      case ("status", let port as any PrinterPort):
        let status = try await port.portStatus()
        return "status \(status.rawValue) paper-empty=\(status.isPaperEmpty) selected=\(status.isSelected) "
          + "error=\(status.hasError)"
      case ("id", let port as any PrinterPort): return "id \(try await port.deviceID())"
      default: return "error this channel has no \(command)"
      }
    } catch {
      return "error \(error.summary)"
    }
  }

  private static func transfer(_ stream: any ByteStream, _ words: [String]) async -> String {
    let timeout = Duration.milliseconds(words.count > 2 ? Int(words[2]) ?? 5000 : 5000)
    guard words.count >= 2 else { return "error what?" }
    switch words[0] {
    case "read":
      do throws(ChannelError) {
        return hexadecimal(try await stream.read(upTo: Int(words[1]) ?? 4096, timeout: timeout))
      } catch {
        return "error \(error.summary)"
      }
    case "write": return await write(stream, bytes(words[1]), timeout)
    case "fill":
      // A pattern that tells where in it a byte is from.
      let pattern = (0..<(Int(words[1]) ?? 0)).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 8 ^ $0 >> 16) }
      return await write(stream, pattern, timeout)
    default: return "error no command \(words[0])"
    }
  }

  private static func write(_ stream: any ByteStream, _ bytes: [UInt8], _ timeout: Duration) async -> String {
    do throws(ChannelWriteError) {
      try await stream.write(bytes, timeout: timeout)
      return "ok"
    } catch {
      return "error after \(error.written): \(error.reason.summary)"
    }
  }

  private static func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  private static func bytes(_ text: String) -> [UInt8] {
    let digits = Array(text)
    return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
      UInt8(String(digits[$0...$0 + 1]), radix: 16)
    }
  }
}
