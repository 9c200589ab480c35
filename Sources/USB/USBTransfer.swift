internal import CLibUSB
internal import Glibc
internal import Synchronization

/// One transfer and its memory, from before it is submitted until its callback has come.
@safe final class USBTransfer: @unchecked Sendable {
  /// What is transferred.
  enum Request {
    case into(endpoint: UInt8, kind: USBDevice.PipeKind, capacity: Int)
    case from(endpoint: UInt8, kind: USBDevice.PipeKind, bytes: [UInt8], endsWithZeroPacket: Bool)
    case control(setup: USBControlSetup, bytes: [UInt8])
  }

  // The C structure and the buffer belong to libusb from a submission that succeeded until the callback: the retained
  // reference in user_data keeps this object, and so both, for as long. Nothing else touches them in between but
  // libusb_cancel_transfer, under the lock and only while it is flying.
  private let raw: UnsafeMutablePointer<libusb_transfer>
  private let buffer: UnsafeMutablePointer<UInt8>
  private let capacity: Int
  private let dataOffset: Int
  private let isInput: Bool
  private let state = Mutex(State())

  private struct State {
    var continuation: CheckedContinuation<Void, Never>?
    var isFlying = false
    var isCancelled = false
    var isReleased = false
    var refusal: USBError?
  }

  /// - Parameter timeout: in milliseconds; 0 waits without limit.
  init(_ request: Request, on handle: OpaquePointer, timeout: UInt32) throws(USBError) {
    guard let raw = unsafe libusb_alloc_transfer(0) else {
      throw USBError(LIBUSB_ERROR_NO_MEM.rawValue, "libusb_alloc_transfer")
    }
    unsafe self.raw = raw
    let setupSize = MemoryLayout<libusb_control_setup>.size
    switch request {
    case .into(let endpoint, let kind, let count):
      (capacity, dataOffset, isInput) = (max(count, 1), 0, true)
      unsafe buffer = .allocate(capacity: capacity)
      unsafe libusb_fill_bulk_transfer(
        raw, handle, endpoint, buffer, Int32(clamping: count), transferEnded, nil, timeout)
      unsafe raw.pointee.type = kind.transferType
    case .from(let endpoint, let kind, let bytes, let endsWithZeroPacket):
      (capacity, dataOffset, isInput) = (max(bytes.count, 1), 0, false)
      unsafe buffer = .allocate(capacity: capacity)
      unsafe Self.copy(bytes, to: buffer)
      unsafe libusb_fill_bulk_transfer(
        raw, handle, endpoint, buffer, Int32(clamping: bytes.count), transferEnded, nil, timeout)
      unsafe raw.pointee.type = kind.transferType
      if endsWithZeroPacket {
        unsafe raw.pointee.flags |= UInt8(truncatingIfNeeded: LIBUSB_TRANSFER_ADD_ZERO_PACKET.rawValue)
      }
    case .control(let setup, let bytes):
      (capacity, dataOffset, isInput) = (setupSize + Int(setup.length), setupSize, setup.isInput)
      unsafe buffer = .allocate(capacity: capacity)
      unsafe buffer.initialize(repeating: 0, count: capacity)
      unsafe libusb_fill_control_setup(
        buffer, setup.requestType, setup.request, setup.value, setup.index, setup.length)
      if !isInput { unsafe Self.copy(bytes, to: buffer + setupSize) }
      unsafe libusb_fill_control_transfer(raw, handle, buffer, transferEnded, nil, timeout)
    }
  }

  deinit { release() }

  /// Frees the memory, once the transfer is over: it holds libusb's device, and has to go before that.
  func release() {
    state.withLock { state in
      guard !state.isReleased, !state.isFlying else { return }
      state.isReleased = true
      unsafe libusb_free_transfer(raw)
      unsafe buffer.deallocate()
    }
  }

  /// Submits the transfer and waits for its end. To be called once.
  func fly() async -> USBTransferResult {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          guard !state.isCancelled else {
            state.refusal = .cancelled
            return true
          }
          // The callback may come at once on another thread; it waits for this lock.
          unsafe raw.pointee.user_data = Unmanaged.passRetained(self).toOpaque()
          let result = unsafe libusb_submit_transfer(raw)
          guard result == 0 else {
            unsafe Unmanaged.passUnretained(self).release()
            state.refusal = USBError(result, "libusb_submit_transfer")
            return true
          }
          state.isFlying = true
          state.continuation = continuation
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      cancel()
    }
    return result()
  }

  /// Asks for an early end; ``fly()`` returns once the memory is free again.
  func cancel() {
    state.withLock { state in
      state.isCancelled = true
      // Fails only when the transfer has just ended, whose callback is on its way then.
      if state.isFlying { unsafe _ = libusb_cancel_transfer(raw) }
    }
  }

  fileprivate func ended() {
    let continuation = state.withLock { state in
      state.isFlying = false
      defer { state.continuation = nil }
      return state.continuation
    }
    continuation?.resume()
  }

  private func result() -> USBTransferResult {
    if let refusal = state.withLock({ $0.refusal }) { return USBTransferResult(failure: refusal) }
    let count = min(max(Int(unsafe raw.pointee.actual_length), 0), capacity - dataOffset)
    let bytes =
      isInput ? unsafe Array(UnsafeBufferPointer(start: buffer + dataOffset, count: count)) : []
    return unsafe USBTransferResult(bytes: bytes, count: count, failure: USBError(raw.pointee.status))
  }

  private static func copy(_ bytes: [UInt8], to buffer: UnsafeMutablePointer<UInt8>) {
    unsafe bytes.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { unsafe buffer.initialize(from: base, count: source.count) }
    }
  }
}

private func transferEnded(_ raw: UnsafeMutablePointer<libusb_transfer>?) {
  guard let context = unsafe raw?.pointee.user_data else { return }
  unsafe Unmanaged<USBTransfer>.fromOpaque(context).takeRetainedValue().ended()
}
