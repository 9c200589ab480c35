// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
]

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}
func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}
func tests(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: [.target(name: name), "TestKit"] + dependencies,
    swiftSettings: strict)
}

let package = Package(
  name: "hall-agent",
  products: [
    .executable(name: "halld", targets: ["halld"]),
    .executable(name: "hallctl", targets: ["hallctl"]),
  ],
  targets: [
    // C: what Swift's Glibc module does not show, and the system libraries (design: Structure).
    .target(name: "CLinux"),
    .target(name: "CErase"),
    .target(name: "CPages", exclude: ["Pages"]),
    .target(name: "CScreen", exclude: ["Web"]),
    .systemLibrary(name: "CCups", providers: [.apt(["libcups2-dev"])]),
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(
      name: "CMicroHTTPD", pkgConfig: "libmicrohttpd", providers: [.apt(["libmicrohttpd-dev"])]),
    .systemLibrary(name: "CGnuTLS", pkgConfig: "gnutls", providers: [.apt(["libgnutls28-dev"])]),
    .systemLibrary(name: "CUdev", pkgConfig: "libudev", providers: [.apt(["libudev-dev"])]),
    .systemLibrary(name: "CLibUSB", pkgConfig: "libusb-1.0", providers: [.apt(["libusb-1.0-0-dev"])]),
    .systemLibrary(
      name: "CQREncode", pkgConfig: "libqrencode", providers: [.apt(["libqrencode-dev"])]),

    // The faces of the operating system and of the C libraries; `unsafe` stays here.
    module("Posix", ["CLinux"]),
    module("Crypto", ["CGnuTLS"]),
    module("Store", ["CSQLite", "Posix"]),
    module("HTTPClient", ["CCups", "Posix"]),
    module("HTTPServer", ["CMicroHTTPD", "Posix"]),
    module("QRSymbol", ["CQREncode"]),
    module("USB", ["CLibUSB", "Posix"]),
    module("Hotplug", ["CUdev", "Posix"]),
    module("PageImages", ["CPages"]),
    module("WireJSON"),

    // Portable: no operating system module, no `unsafe`.
    module("Codecs"),
    module("Channels"),
    module("Devices", ["Channels", "Codecs"]),
    module("Drivers", ["Devices", "Channels", "Codecs"]),
    module("Simulation", ["Channels", "Codecs"]),

    // Linux.
    module("LinuxChannels", ["Channels", "Codecs", "Posix", "HTTPClient", "CCups", "USB", "Hotplug"]),
    module(
      "SimulationHost",
      [
        "Simulation", "Channels", "Codecs", "HTTPServer", "Posix", "QRSymbol", "PageImages", "WireJSON",
      ]),
    module("CitizenBrowser", ["Posix", "WireJSON"]),
    module("Screens", ["CScreen", "Channels", "Crypto", "HTTPServer", "Posix", "WireJSON"]),
    module("Outbox", ["Store", "Crypto", "Posix", "HTTPClient", "WireJSON"]),
    module("Intake", ["HTTPServer", "Crypto", "Posix", "WireJSON"]),
    module("LocalAPI", ["WireJSON", "HTTPServer", "HTTPClient", "Devices"]),
    module(
      "Agent",
      [
        "Devices", "Channels", "Codecs", "Outbox", "LocalAPI", "Store", "Crypto", "Posix",
        "HTTPServer", "HTTPClient", "WireJSON", "Screens", "QRSymbol",
      ]),
    module("Console", ["Codecs"]),

    // Programs.
    program(
      "halld",
      [
        "CErase", "Agent", "Drivers", "Devices", "Channels", "Codecs", "LinuxChannels", "Simulation",
        "SimulationHost", "LocalAPI", "HTTPServer", "HTTPClient", "Outbox", "Intake", "Store",
        "Posix", "Crypto", "WireJSON", "Console", "PageImages", "Screens", "CitizenBrowser",
      ]),
    program(
      "Bench",
      [
        "Agent", "Drivers", "Devices", "Channels", "Codecs", "LinuxChannels", "Simulation",
        "SimulationHost", "LocalAPI", "HTTPServer", "HTTPClient", "Outbox", "Intake", "Store",
        "Posix", "Crypto", "WireJSON", "Console",
      ]),
    program("hallctl", ["Codecs", "LocalAPI", "HTTPClient", "Devices", "WireJSON", "Console", "Posix"]),

    // Tests.
    .target(
      name: "TestKit", dependencies: ["Posix"], path: "Tests/TestKit", swiftSettings: strict),
    .target(
      name: "LabKit", dependencies: ["TestKit", "Posix", "WireJSON"], path: "Tests/LabKit",
      exclude: ["Guest"], swiftSettings: strict),
    .target(
      name: "HallKit", dependencies: ["TestKit", "Posix", "WireJSON", "HTTPClient", "LocalAPI"],
      path: "Tests/HallKit", swiftSettings: strict),
    .executableTarget(
      name: "ChannelProbe", dependencies: ["Channels", "LinuxChannels", "Posix"], path: "Tests/ChannelProbe",
      swiftSettings: strict),
    .testTarget(name: "RulesTests", dependencies: ["TestKit", "Posix"], swiftSettings: strict),
    tests("Posix"), tests("Crypto"), tests("Store", ["Posix"]), tests("WireJSON"),
    tests("QRSymbol", ["Posix"]), tests("PageImages", ["Codecs"]),
    tests("HTTPServer", ["HTTPClient", "Posix"]), tests("Codecs", ["Posix"]),
    tests("Devices", ["Channels", "Codecs"]), tests("Simulation", ["Channels", "Codecs"]),
    tests("Drivers", ["Simulation", "Channels", "Devices", "Codecs", "Posix"]),
    tests("SimulationHost", ["Simulation", "Channels", "Codecs", "QRSymbol", "Posix"]),
    tests("Hotplug", ["Posix", "HallKit", "halld", "Drivers", "Devices", "Codecs", "WireJSON"]),
    tests("LinuxChannels", ["Channels", "Codecs", "Posix", "Hotplug", "USB", "ChannelProbe"]),
    tests("Screens", ["Channels", "Crypto", "HallKit", "Posix", "WireJSON"]),
    tests("Outbox", ["Store", "Crypto", "Posix", "WireJSON", "HTTPServer", "HTTPClient", "Intake"]),
    tests("LocalAPI", ["WireJSON", "Devices", "Posix"]),
    tests(
      "Agent",
      [
        "Devices", "Channels", "Codecs", "Crypto", "Outbox", "LocalAPI", "Store", "Posix", "WireJSON",
        "Simulation",
        "Drivers", "HTTPServer", "Screens",
      ]),
    .testTarget(
      name: "CardReadTests",
      dependencies: [
        "TestKit", "Posix", "Drivers", "Devices", "Channels", "Codecs", "Simulation", "SimulationHost",
        "LinuxChannels",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "KernelLabTests",
      dependencies: [
        "TestKit", "LabKit", "Posix", "WireJSON", "HTTPClient", "LocalAPI", "halld", "hallctl", "Codecs",
        "Simulation", "SimulationHost", "ChannelProbe",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "DurabilityTests",
      dependencies: [
        "HallKit", "TestKit", "LabKit", "Posix", "WireJSON", "HTTPClient", "LocalAPI", "halld", "hallctl",
        "Crypto", "Outbox", "Store", "Intake",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "SystemTests",
      dependencies: [
        "HallKit", "TestKit", "Posix", "WireJSON", "HTTPClient", "LocalAPI", "halld", "hallctl", "Crypto",
        "CitizenBrowser", "Codecs",
      ],
      swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)

// Built only by .ci/fuzz: it has no main of its own, libFuzzer's calls it.
if Context.environment["HALL_FUZZ"] != nil {
  package.targets.append(program("Fuzz", ["Codecs"]))
}
