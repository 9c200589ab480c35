internal import Codecs
internal import Posix
internal import Simulation
internal import Synchronization

/// The transfers of one imported device on a connected stream: a TCP connection, a socket that vhci reads, or any other.
enum USBIPSession {
  /// Carries transfers until the host lets the device go, sends nonsense, or the device is unplugged. The stream is closed
  /// then, which is what a host sees as unplugging.
  /// - Parameter received: what the host sent already.
  static func serve(
    _ connection: USBConnection, over stream: DescriptorStream, received: [UInt8] = []
  ) async {
    let dialect = Dialect()
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await tell(connection, stream, dialect) }
      group.addTask { await listen(connection, stream, received, dialect) }
      await group.next()
      // Whichever ended, the other waits for the stream or for the device. The device is let go first: whoever sees the
      // connection end can have it again.
      await connection.close()
      stream.close()
      group.cancelAll()
    }
  }

  /// What this host writes where a transfer has no isochronous packets: ffffffff by the protocol's document, 0 in kernels.
  /// Replies repeat it.
  private final class Dialect: Sendable {
    let packets = Atomic<UInt32>(.max)
  }

  /// The host's commands, in their order.
  private static func listen(
    _ connection: USBConnection, _ stream: DescriptorStream, _ received: [UInt8], _ dialect: Dialect
  ) async {
    var parser = USBIPCommandParser()
    parser.feed(received)
    do throws(USBIPError) {
      while true {
        while let command = try parser.next() { await carryOut(command, connection, dialect) }
        guard let bytes = try? await stream.read(upTo: 65_536, timeout: nil), !bytes.isEmpty else { return }
        parser.feed(bytes)
      }
    } catch {
      // Where the next command would begin is not known.
      StandardStreams.writeError("USB/IP host refused: \(error)\n")
    }
  }

  private static func carryOut(
    _ command: USBIPCommand, _ connection: USBConnection, _ dialect: Dialect
  ) async {
    switch command {
    case .unlink(let sequence, _, let target): await connection.unlink(target, asked: sequence)
    case .submit(let submission):
      dialect.packets.store(submission.packets, ordering: .relaxed)
      await connection.submit(
        USBTransfer(
          id: submission.sequence, endpoint: submission.endpoint | (submission.isIn ? 0x80 : 0),
          length: submission.length, data: submission.data,
          setup: submission.endpoint == 0 ? submission.setup : [],
          forbidsShort: submission.flags & USBIPSubmission.shortNotAllowed != 0))
    }
  }

  /// What the device says, in its order.
  private static func tell(
    _ connection: USBConnection, _ stream: DescriptorStream, _ dialect: Dialect
  ) async {
    for await report in connection.reports {
      let reply: USBIPReply =
        switch report {
        case .completed(let end):
          .submit(
            sequence: end.id, status: end.status, length: end.length,
            packets: dialect.packets.load(ordering: .relaxed), data: end.data)
        case .unlinked(let asked, let wasPending): .unlink(sequence: asked, wasPending: wasPending)
        }
      guard (try? await stream.write(reply.encode(), timeout: nil)) != nil else { return }
    }
  }
}
