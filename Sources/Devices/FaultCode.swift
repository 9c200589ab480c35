/// Every fault a driver can report. The raw value is the stable `code` of the agent API.
public enum FaultCode: String, Sendable, CaseIterable {
  // The line to the device.
  case deviceAbsent = "device.absent"
  case deviceGone = "device.gone"
  case deviceDenied = "device.denied"
  case deviceBusy = "device.busy"
  case deviceSilent = "device.silent"
  case deviceGarbled = "device.garbled"
  case deviceBroken = "device.broken"
  case deviceNotAuthorised = "device.notAuthorised"
  case deviceOffline = "device.offline"
  case deviceUnmatched = "device.unmatched"
  case deviceLocked = "device.locked"
  case deviceHeld = "device.heldByDriver"
  case driverMissing = "device.driverMissing"
  case deviceAmbiguous = "device.ambiguous"
  case deviceOther = "device.otherUnit"
  case deviceTaken = "device.taken"
  case lineFailed = "line.failed"
  case programMissing = "program.missing"

  // A command.
  case commandCancelled = "command.cancelled"
  case commandTimedOut = "command.timedOut"
  case commandUnsupported = "command.unsupported"
  case commandRefused = "command.refused"
  case queueFull = "command.queueFull"
  case notStored = "agent.notStored"

  // ID card.
  case cardAbsent = "card.absent"
  case cardMoved = "card.moved"
  case cardUnreadable = "card.unreadable"
  case cardNotAuthenticated = "card.notAuthenticated"
  case cardUnknown = "card.unknown"

  // Paper of ticket dispensers and printers.
  case paperOut = "paper.out"
  case paperLow = "paper.low"
  case paperJammed = "paper.jammed"
  case coverOpen = "cover.open"
  case cutterFailed = "cutter.failed"
  case headOverheated = "head.overheated"
  case textUnprintable = "text.unprintable"
  case outcomeUnknown = "outcome.unknown"

  // Scanner.
  case feederEmpty = "feeder.empty"
  case feederJammed = "feeder.jammed"
  case multipleFeed = "feeder.multiple"
  case imageDamaged = "image.damaged"
  case sourceMissing = "source.missing"
  case cameraFormat = "camera.format"

  // Citizen's screen.
  case screenAbsent = "screen.absent"

  // Print queue.
  case queueStopped = "queue.stopped"
  case queueMissing = "queue.missing"
  case tonerOut = "toner.out"
  case jobAborted = "job.aborted"
  case documentRefused = "document.refused"

  /// Who must act, how, and the sentences.
  public var advice: Advice {
    switch self {
    case .deviceAbsent:
      Advice(
        .maintenance, .technician, retry: true, zh: "未找到设备。请检查数据线是否插好、设备是否通电。",
        en: "The device was not found. Check its cable and its power.")
    case .screenAbsent:
      Advice(
        .maintenance, .technician, retry: true,
        zh: "双屏互动屏未连接。请检查第二屏上的浏览器是否已打开；首次使用请按屏幕上的配对码运行 hallctl screen pair。",
        en:
          "The citizen's screen is not connected. Check that the browser on the second screen is open; when used for the "
          + "first time, run hallctl screen pair with the code it shows.")
    case .deviceGone:
      Advice(
        .maintenance, .technician, retry: true, zh: "设备已断开。请检查数据线并重新插好。",
        en: "The device has been disconnected. Check the cable and plug it in again.")
    case .deviceDenied:
      Advice(
        .configuration, .administrator, retry: false,
        zh: "没有访问该设备的权限。请安装 udev 规则（halld udev-rules），并确认服务账户属于 hall 组。",
        en:
          "No permission to open the device. Install the udev rules (halld udev-rules) and see that the service's "
          + "account is in the group hall.")
    case .deviceBusy:
      Advice(
        .configuration, .technician, retry: true, zh: "设备被其他程序占用。请关闭该程序，或让它不再使用此设备。",
        en: "Another program holds the device. Close that program, or keep it from using this device.")
    case .deviceSilent:
      Advice(
        .maintenance, .technician, retry: true, zh: "设备无应答。请检查设备是否开机、波特率是否正确。",
        en: "The device does not answer. Check that it is switched on and that the baud rate is right.")
    case .deviceGarbled:
      Advice(
        .maintenance, .technician, retry: true, zh: "设备返回的数据有误。请检查数据线、波特率和设备型号的配置。",
        en: "The device answers with damaged data. Check the cable, the baud rate and the configured model.")
    case .deviceBroken:
      Advice(
        .maintenance, .vendor, retry: false, zh: "设备自检报告故障。请联系设备厂商维修或更换。",
        en: "The device reports a defect of its own. Have the vendor repair or replace it.")
    case .deviceNotAuthorised:
      Advice(
        .maintenance, .vendor, retry: false, zh: "读卡器安全模块未授权。请联系设备厂商。",
        en: "The reader's security module is not authorised. Ask the vendor.")
    case .deviceOffline:
      Advice(
        .clear, .clerk, retry: true, zh: "设备处于脱机状态。请查看设备面板上的提示。",
        en: "The device is off-line. Look at what its panel shows.")
    case .deviceUnmatched:
      Advice(
        .configuration, .administrator, retry: false, zh: "没有与该设备匹配的设备档案。请用 hallctl explain 查看原因。",
        en: "No device profile matches. See `hallctl explain` for the reason.")
    case .deviceLocked:
      Advice(
        .suspend, .technician, retry: false, zh: "设备已被停用。请由运维人员启用。",
        en: "The device has been taken out of service. A technician has to unlock it.")
    case .deviceHeld:
      Advice(
        .configuration, .administrator, retry: true,
        zh: "设备接口已被内核驱动（如 usblp）占用。请改用该驱动对应的设备档案，或解除该驱动与此接口的绑定。",
        en:
          "A kernel driver (such as usblp) is bound to the device's interface. Use a profile that goes by that driver, or "
          + "unbind it from this interface.")
    case .driverMissing:
      Advice(
        .configuration, .administrator, retry: true,
        zh: "设备已连接，但缺少所需的内核驱动模块。请加载该模块（modprobe），或检查它是否被禁用。",
        en:
          "The device is connected, but the kernel module that it needs is missing. Load it (modprobe) and see whether it "
          + "is blacklisted.")
    case .deviceAmbiguous:
      Advice(
        .configuration, .technician, retry: true,
        zh: "有多台设备符合，无法确定用哪一台。请用 port = usb:port:… 或 usb:serial:… 将角色绑定到接口或序列号。",
        en:
          "Several units fit. Bind the slot to a port or a serial number: port = usb:port:… or usb:serial:….")
    case .deviceOther:
      Advice(
        .configuration, .technician, retry: true,
        zh: "原来的设备不在，另有一台设备符合，但不会自动替换。请插回原设备，或用 hallctl forget 确认更换。",
        en:
          "The slot's own unit is gone, and another one is not taken by itself. Plug the unit in again, or confirm the "
          + "exchange with `hallctl forget`.")
    case .deviceTaken:
      Advice(
        .configuration, .technician, retry: true,
        zh: "符合的设备已归另一角色使用。请检查各角色的端口设置，或再连接一台设备。",
        en:
          "The only device that fits belongs to another role. Check the roles' ports, or connect another device."
      )
    case .lineFailed:
      Advice(
        .maintenance, .technician, retry: true, zh: "与设备通信失败。请检查数据线和接口。",
        en: "Communication with the device failed. Check the cable and the port.")
    case .programMissing:
      Advice(
        .configuration, .administrator, retry: false, zh: "本机缺少所需的程序，请安装后重试。",
        en: "A program that is needed is not installed on this machine. Install it.")
    case .commandCancelled:
      Advice(.reset, .clerk, retry: true, zh: "操作已取消。", en: "The command was cancelled.")
    case .commandTimedOut:
      Advice(
        .reset, .clerk, retry: true, zh: "操作超时，请重试。", en: "The command took too long. Try again.")
    case .commandUnsupported:
      Advice(
        .configuration, .administrator, retry: false, zh: "该设备不支持此操作。",
        en: "This device cannot do that.")
    case .commandRefused:
      Advice(
        .softwareError, .vendor, retry: false, zh: "设备拒绝了该指令。请确认设备档案与型号一致。",
        en: "The device refused the command. Check that the profile fits the model.")
    case .queueFull:
      Advice(
        .reset, .clerk, retry: true, zh: "该设备等待执行的操作过多，请稍后重试。",
        en: "Too many commands are waiting for this device. Try again later.")
    case .notStored:
      Advice(
        .maintenance, .administrator, retry: true, zh: "本机无法保存数据，操作未被接受。请检查磁盘空间和磁盘状态。",
        en:
          "This machine could not store the data, so it was not accepted. Check the disk and its free space.")
    case .cardAbsent:
      Advice(
        .clear, .citizen, retry: true, zh: "未检测到证件。请将证件放在读卡区。",
        en: "No card was found. Put the card on the reader.")
    case .cardMoved:
      Advice(
        .clear, .citizen, retry: true, zh: "读取时证件被移动。请将证件放好不要移动，再试一次。",
        en: "The card moved while it was read. Lay it down, keep it still and try again.")
    case .cardUnreadable:
      Advice(
        .clear, .citizen, retry: true, zh: "证件读取失败。请拿起证件重新放置；多次失败请核验证件是否损坏。",
        en:
          "The card could not be read. Lift it and put it back; if that fails repeatedly the card may be damaged."
      )
    case .cardNotAuthenticated:
      Advice(
        .clear, .clerk, retry: false, zh: "证件未通过读卡器的验证。请核对证件真伪或改用人工核验。",
        en: "The reader could not authenticate the card. Check the document by hand.")
    case .cardUnknown:
      Advice(
        .clear, .clerk, retry: false, zh: "读卡器不认识这种证件。", en: "The reader does not know this kind of card.")
    case .paperOut:
      Advice(.clear, .clerk, retry: true, zh: "缺纸。请装入新纸卷或纸张。", en: "Out of paper. Load a new roll or sheets.")
    case .paperLow:
      Advice(
        .clear, .clerk, retry: true, zh: "纸张即将用完，请准备更换。", en: "Paper is running low. Have a new roll ready.")
    case .paperJammed:
      Advice(
        .clear, .clerk, retry: true, zh: "卡纸。请打开盖板取出卡住的纸。",
        en: "Paper jam. Open the cover and take the paper out.")
    case .coverOpen:
      Advice(.clear, .clerk, retry: true, zh: "盖板未关好。请合上盖板。", en: "The cover is open. Close it.")
    case .cutterFailed:
      Advice(
        .maintenance, .technician, retry: true, zh: "切刀故障。请清除切刀处的纸屑后复位。",
        en: "The cutter is stuck. Remove paper from it and reset the printer.")
    case .headOverheated:
      Advice(.reset, .clerk, retry: true, zh: "打印头过热，请稍候再试。", en: "The print head is too hot. Wait a little.")
    case .textUnprintable:
      Advice(
        .configuration, .administrator, retry: false, zh: "有文字超出打印机字库。请检查设备档案的字符集设置。",
        en: "The printer's font lacks a character. Check the code page in the device profile.")
    case .outcomeUnknown:
      Advice(
        .clear, .clerk, retry: false, zh: "无法确认是否已打印。请查看出纸口，再决定补打、确认或作废。",
        en: "It is not known whether it was printed. Look at the outlet, then reprint, confirm or void it.")
    case .feederEmpty:
      Advice(
        .clear, .clerk, retry: true, zh: "进纸器中没有纸张。请放入材料。", en: "The feeder is empty. Put the sheets in.")
    case .feederJammed:
      Advice(
        .clear, .clerk, retry: true, zh: "扫描仪卡纸。请打开盖板取出纸张，再继续扫描余下的页。",
        en: "The scanner jammed. Open it, take the sheet out and scan the remaining pages.")
    case .multipleFeed:
      Advice(
        .clear, .clerk, retry: true, zh: "扫描仪一次吸入了多张纸。请分开纸张后重扫。",
        en: "The scanner took several sheets at once. Separate them and scan again.")
    case .imageDamaged:
      Advice(
        .maintenance, .technician, retry: true, zh: "扫描仪传来的图像不完整。请重扫；如反复出现请检查数据线。",
        en: "The scanner delivered a damaged image. Scan again; if it recurs check the cable.")
    case .sourceMissing:
      Advice(
        .configuration, .administrator, retry: false, zh: "该扫描仪没有所要求的进纸方式或扫描参数。",
        en: "This scanner does not have the paper source or the settings asked for.")
    case .cameraFormat:
      Advice(
        .configuration, .vendor, retry: false,
        zh: "该摄像头不提供尺寸可用的 MJPEG 或 YUYV 图像，无法用作高拍仪。请换用支持其一的设备，或咨询厂商能否切换图像格式。",
        en:
          "This camera delivers neither MJPEG nor YUYV pictures of a usable size and cannot be used for pages. Use one "
          + "that does, or ask the vendor whether it can be switched.")
    case .queueStopped:
      Advice(
        .maintenance, .technician, retry: true, zh: "打印队列已停止。请排除打印机故障后恢复队列。",
        en: "The print queue is stopped. Put the printer right and resume the queue.")
    case .queueMissing:
      Advice(
        .configuration, .administrator, retry: false, zh: "打印系统中没有这个队列，或打印服务未运行。",
        en: "The print system has no such queue, or is not running.")
    case .tonerOut:
      Advice(.clear, .clerk, retry: true, zh: "碳粉或墨水用尽。请更换。", en: "Toner or ink is used up. Replace it.")
    case .jobAborted:
      Advice(.reset, .technician, retry: true, zh: "打印任务被打印系统中止。", en: "The print system aborted the job.")
    case .documentRefused:
      Advice(
        .softwareError, .vendor, retry: false, zh: "打印系统不接受该文件。",
        en: "The print system does not accept the document.")
    }
  }

  /// The device state that this fault puts the device in; nil when it says nothing of the device (a card was not there).
  public var impliedState: DeviceState? {
    switch self {
    case .deviceAbsent, .deviceGone, .screenAbsent: .noDevice
    case .deviceSilent: .powerOff
    case .deviceDenied, .deviceBusy, .deviceUnmatched, .deviceLocked, .programMissing, .queueMissing: .offline
    case .deviceHeld, .driverMissing, .deviceAmbiguous, .deviceOther, .deviceTaken: .offline
    case .deviceOffline, .queueStopped, .lineFailed, .deviceGarbled, .cameraFormat: .offline
    case .deviceBroken, .deviceNotAuthorised, .cutterFailed: .hardwareError
    case .paperOut, .paperJammed, .coverOpen, .feederJammed, .tonerOut, .headOverheated: .userError
    case .commandCancelled, .commandTimedOut, .commandUnsupported, .commandRefused, .queueFull, .notStored,
      .cardAbsent, .cardMoved, .cardUnreadable, .cardNotAuthenticated, .cardUnknown, .paperLow,
      .textUnprintable,
      .outcomeUnknown, .feederEmpty, .multipleFeed, .imageDamaged, .sourceMissing, .jobAborted,
      .documentRefused:
      nil
    }
  }
}
