public import Channels
internal import Codecs
internal import Posix
internal import USB

extension USBByteStream {
  /// Opens an interface of a device and takes it for this program.
  ///
  /// The configuration is never changed and the device never reset: both lose what is under way (facts/devices.md A5).
  /// - Returns: the stream; for a printer's interface one that is a ``PrinterPort`` too.
  /// - Throws: `.absent` when no such interface is plugged in, `.denied` with the node's owner and permissions, `.busy` with
  ///   the program or the kernel's driver that has it, `.malformed` when its descriptors have no endpoint to use.
  public static func open(
    port: String, configuration: UInt8, interface: UInt8, line: USBLine
  ) async throws(ChannelError) -> any ByteStream {
    let node = try USBInterfaceNode(port: port, configuration: configuration, interface: interface)
    let (setting, layouts) = try choose(node, line)
    let device = try await claim(node, alternate: setting.alternate, line)
    let stream = USBByteStream(
      device: device, name: node.name, endpoints: setting.endpoints, layouts: layouts, line: line)
    guard setting.isPrinter else { return stream }
    return USBPrinterPort(
      stream, device: device, interface: setting, configurationIndex: node.configurationIndex)
  }

  /// The alternate setting to use and the layouts its endpoints allow, the likeliest first.
  static func choose(
    _ node: USBInterfaceNode, _ line: USBLine
  ) throws(ChannelError) -> (setting: USBInterface, layouts: [PipeLayout]) {
    let settings = node.configuration.settings(of: node.number)
    let usable = settings.compactMap { setting -> (setting: USBInterface, layouts: [PipeLayout])? in
      var layouts = setting.layouts
      if let wanted = line.layout {
        guard setting.has(wanted) else { return nil }
        layouts = [wanted]
      }
      return layouts.isEmpty ? nil : (setting, layouts)
    }
    // Both ways before one way; then the setting that is chosen already, since choosing one resets its endpoints.
    let best = usable.max { one, other in
      let isWorse = one.setting.rank(node.alternate) < other.setting.rank(node.alternate)
      return isWorse
    }
    guard let best else {
      let defects = node.descriptors.defects.prefix(3).map(\.description).joined(separator: "; ")
      let wanted = line.layout.map { "the endpoints \($0)" } ?? "a bulk or interrupt endpoint"
      throw .malformed("\(node.name) has not \(wanted)" + (defects.isEmpty ? "" : " (\(defects))"))
    }
    return best
  }

  /// Opens the device and claims the interface.
  static func claim(
    _ node: USBInterfaceNode, alternate: UInt8, _ line: USBLine
  ) async throws(ChannelError) -> USBDevice {
    if let driver = node.driver, driver != "usbfs" {
      guard line.takesFromKernel else { throw .busy("\(node.name) is held by the kernel's driver \(driver)") }
      // A program that prints through the driver would lose its job.
      let holder = await onOwnThread("usb holders") { () throws(Never) in
        node.driverNodes.first { DeviceHolder.isHeld($0) }.map { DeviceHolder.describe($0) }
      }
      if let holder { throw .busy(holder) }
    }
    let device: USBDevice
    do throws(USBError) {
      device = try await USBDevice.open(node: node.node)
    } catch {
      throw ChannelError(opening: "USB interface \(node.name)", node: node.node, error)
    }
    do throws(USBError) {
      guard node.isStillThere() else { throw .gone }
      try await device.claim(
        node.number, alternate: alternate == node.alternate ? nil : alternate,
        detaching: line.takesFromKernel,
        reattaching: line.givesBack)
      return device
    } catch {
      // Closed before it is asked who has the node: that shall not be this program.
      await device.close()
      guard error == .busy else {
        throw ChannelError(opening: "USB interface \(node.name)", node: node.node, error)
      }
      if let driver = node.currentDriver, driver != "usbfs" {
        throw .busy("\(node.name) is held by the kernel's driver \(driver)")
      }
      let holder = await onOwnThread("usb holders") { () throws(Never) in DeviceHolder.describe(node.node) }
      throw .busy("\(node.name): \(holder)")
    }
  }
}

extension USBInterface {
  /// A printer that takes a byte stream: 7/1/1 and 7/1/2; the other protocols of the class speak packets (USB printer class
  /// 1.1, 4.1; facts/devices.md A5).
  var isPrinter: Bool {
    interfaceClass.base == 7 && interfaceClass.sub == 1
      && (interfaceClass.protocol == 1 || interfaceClass.protocol == 2)
  }

  private var speaksPackets: Bool { interfaceClass.base == 7 && !isPrinter }

  /// The layouts that the endpoints allow, the likeliest first.
  var layouts: [PipeLayout] {
    let inputs = endpoints.filter { $0.isPipe && $0.isInput }
    let outputs = endpoints.filter { $0.isPipe && !$0.isInput }
    guard !inputs.isEmpty || !outputs.isEmpty else { return [] }
    var layouts: [PipeLayout] = []
    // Two endpoints each way: the one layout known is that of ID-card readers, heads of 7 bytes through 81 and 02, the rest
    // through 85 and 06 (facts/idcard.md 1.2, layout A).
    let split = PipeLayout(heads: (0x81, 0x02), bodies: (0x85, 0x06), headLength: 7)
    if has(split) { layouts.append(split) }
    // Bulk before interrupt: an interrupt endpoint beside bulk ones tells of events. Of one kind the last of each direction
    // is what a maker's own adapter takes, the first what others take (facts/idcard.md 1.1).
    let first = PipeLayout(input: Self.first(inputs), output: Self.first(outputs))
    let last = PipeLayout(input: Self.first(inputs.reversed()), output: Self.first(outputs.reversed()))
    layouts.append(first)
    if last != first { layouts.append(last) }
    return layouts
  }

  private static func first(_ endpoints: [USBEndpoint]) -> UInt8? {
    (endpoints.first { $0.transfer == .bulk } ?? endpoints.first)?.address
  }

  /// Whether the setting has every endpoint of a layout.
  func has(_ layout: PipeLayout) -> Bool {
    let wanted = [layout.input, layout.output, layout.split?.input, layout.split?.output].compactMap { $0 }
    return wanted.allSatisfy { address in endpoints.contains { $0.address == address && $0.isPipe } }
  }

  /// How well the setting serves as a byte stream.
  func rank(_ chosen: UInt8) -> Int {
    let isTwoWay =
      endpoints.contains { $0.isPipe && $0.isInput } && endpoints.contains { $0.isPipe && !$0.isInput }
    return (speaksPackets ? 0 : 4) + (isTwoWay ? 2 : 0) + (alternate == chosen ? 1 : 0)
  }
}
