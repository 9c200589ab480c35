internal import Channels
internal import Codecs
public import Posix
public import Simulation

/// Exports simulated USB devices on the loopback by the USB/IP protocol, so that `usbip attach` of any Linux makes them real.
///
/// A device is named by its place, `1-1`, `1-2` … in the order given, or by its own name. A device that is unplugged is not
/// there; unplugging ends the connection of the host that has it.
public final class USBIPServer: Sendable {
  /// The port it listens on.
  public let port: UInt16
  private let listening: DescriptorStream
  private let devices: [SimulatedDevice]
  private let accepting: Task<Void, Never>

  /// Starts to listen on 127.0.0.1.
  /// - Parameters:
  ///   - devices: those that are not USB devices are left out.
  ///   - port: 0 lets the system choose.
  public init(_ devices: [SimulatedDevice], port: UInt16 = 3240) throws(SystemError) {
    let listener = try Loopback.listen(port: port)
    self.port = listener.port
    let listening = DescriptorStream(listener.descriptor)
    let exported = devices.filter(\.isUSB)
    self.listening = listening
    self.devices = exported
    accepting = Task { await Self.accept(listening, exported) }
  }

  /// Stops listening and takes every device from whoever has it.
  public func stop() async {
    listening.close()
    accepting.cancel()
    await accepting.value
  }

  private static func accept(_ listening: DescriptorStream, _ devices: [SimulatedDevice]) async {
    await withDiscardingTaskGroup { group in
      while !Task.isCancelled, (try? await listening.ready(for: .read, timeout: nil)) != nil {
        guard let client = accepted(listening) else { continue }
        group.addTask { await serve(client, devices) }
      }
      group.cancelAll()
    }
  }

  private static func accepted(_ listening: DescriptorStream) -> DescriptorStream? {
    let client = listening.withDescriptor { raw -> DescriptorStream? in
      do throws(SystemError) {
        guard let descriptor = try UnixSocket.accept(from: raw) else { return nil }
        // Replies are small, and the next one must not wait for the last one's acknowledgement.
        Loopback.sendAtOnce(descriptor.raw)
        return DescriptorStream(descriptor)
      } catch {
        return nil
      }
    }
    return client ?? nil
  }

  /// One client: its operation, and after an import its transfers.
  private static func serve(_ client: DescriptorStream, _ devices: [SimulatedDevice]) async {
    defer { client.close() }
    var parser = USBIPOperationParser()
    do throws(USBIPError) {
      while true {
        switch try parser.next() {
        case nil:
          // Whoever connects and says nothing is not kept.
          guard let bytes = try? await client.read(upTo: 4096, timeout: .seconds(10)), !bytes.isEmpty else {
            return
          }
          parser.feed(bytes)
        case .deviceList?:
          var list: [USBIPDevice] = []
          for (index, device) in devices.enumerated() where await device.isPlugged {
            if let entry = entry(device, index, as: nil) { list.append(entry) }
          }
          _ = try? await client.write(USBIPDevice.deviceList(list), timeout: .seconds(10))
          return
        case .importDevice(let name)?:
          return await export(name, to: client, devices, received: parser.rest())
        }
      }
    } catch {
      StandardStreams.writeError("USB/IP client refused: \(error)\n")
    }
  }

  private static func export(
    _ name: String, to client: DescriptorStream, _ devices: [SimulatedDevice], received: [UInt8]
  ) async {
    var refusal = USBIP.OperationStatus.noDevice
    for (index, device) in devices.enumerated() where name == device.name || name == "1-\(index + 1)" {
      do throws(ChannelError) {
        let connection = try await device.openUSB()
        guard let entry = entry(device, index, as: name),
          (try? await client.write(entry.imported(), timeout: .seconds(10))) != nil
        else { return await connection.close() }
        return await USBIPSession.serve(connection, over: client, received: received)
      } catch {
        if case .busy = error { refusal = .busy }
      }
      break
    }
    _ = try? await client.write(USBIPDevice.importRefused(refusal), timeout: .seconds(10))
  }

  /// A device as operations describe it; the name by which it was asked for is repeated.
  static func entry(_ device: SimulatedDevice, _ index: Int, as name: String?) -> USBIPDevice? {
    guard let description = device.usbDescription else { return nil }
    return USBIPDevice(
      path: "/simulated/\(device.name)", busID: name ?? "1-\(index + 1)", bus: 1,
      number: UInt32(clamping: index + 1), speed: description.speed.rawValue, vendor: description.vendor,
      product: description.product, release: description.release, deviceClass: description.codes,
      configuration: 1,
      configurations: 1, interfaces: description.interfaces.map(\.codes))
  }
}
