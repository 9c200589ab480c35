import Codecs
import Posix

/// Decodes a card's photo by the program that the hall has a licence for and names in its configuration; the format is
/// published nowhere (facts/idcard.md 6).
///
/// The program gets the block on its standard input and gives a picture on its standard output. It is confined (see
/// `ChildProcess.spawnConfined`) and has a time limit, and what it gives is looked at before it is passed on: nothing but one
/// whole PNG, JPEG or BMP of 102 × 126 pixels is.
struct PhotoDecoder: Sendable {
  /// What the configuration says of it.
  struct Settings: Sendable, Equatable {
    /// An absolute path.
    var program: String
    /// What stands behind it.
    var arguments: [String] = []
    /// What the program may read besides the system's own files, such as its licence; its working directory.
    var directory: String
    /// How long it may take.
    var timeout = Duration.seconds(3)
  }

  /// A decoded photo.
  struct Picture: Sendable {
    let mediaType: String
    let bytes: Sensitive<[UInt8]>
  }

  /// Why there is no picture; never anything of the photo.
  struct Failure: Error, Equatable {
    let sentence: String
  }

  /// The picture that every decoder gives (facts/idcard.md 6).
  static let size = (width: 102, height: 126)
  /// A PNG of that size without compression has less than 40 kB.
  private static let limit = 65_536

  let settings: Settings

  func decode(_ photo: Sensitive<[UInt8]>) async throws(Failure) -> Picture {
    let child: ChildProcess
    do throws(SystemError) {
      child = try ChildProcess.spawnConfined(
        settings.program, arguments: settings.arguments, workingDirectory: settings.directory,
        seconds: UInt32(clamping: settings.timeout.components.seconds + 1), memory: 1 << 29,
        standardInput: .bytes(photo.reveal()), standardOutput: .pipe)
    } catch {
      throw Failure(sentence: "\(error)")
    }
    defer { child.signal(Signals.kill) }
    let deadline = ContinuousClock.now + settings.timeout
    var picture: [UInt8] = []
    while let chunk = try await Self.chunk(of: child, until: deadline), !chunk.isEmpty {
      picture += chunk
      guard picture.count <= Self.limit else {
        throw Failure(sentence: "the program gives more than \(Self.limit) bytes")
      }
    }
    switch await child.wait(timeout: ContinuousClock.now.duration(to: deadline)) {
    case .exited(0): break
    case .exited(let code): throw Failure(sentence: "the program ended with \(code)")
    case .signalled(let signal): throw Failure(sentence: "the program was ended by signal \(signal)")
    case nil: throw Failure(sentence: "the program takes too long")
    }
    return try Self.check(picture)
  }

  private static func chunk(
    of child: ChildProcess, until deadline: ContinuousClock.Instant
  ) async throws(Failure) -> [UInt8]? {
    do throws(StreamError) {
      return try await child.output?.read(upTo: limit, timeout: ContinuousClock.now.duration(to: deadline))
    } catch {
      throw Failure(
        sentence: error == .timedOut ? "the program takes too long" : "its output cannot be read: \(error)")
    }
  }

  /// Looks at what the program gave.
  static func check(_ bytes: [UInt8]) throws(Failure) -> Picture {
    let format: PageFormat
    do throws(ImageError) {
      format =
        bytes.starts(with: [0x42, 0x4D]) ? try BMPInspector.inspect(bytes) : try ImageInspector.inspect(bytes)
    } catch {
      throw Failure(sentence: "the program does not give a picture: \(error)")
    }
    guard format.width == size.width, format.height == size.height else {
      throw Failure(sentence: "the program gives a picture of \(format.width) × \(format.height)")
    }
    return Picture(mediaType: format.mediaType, bytes: Sensitive(bytes))
  }
}
