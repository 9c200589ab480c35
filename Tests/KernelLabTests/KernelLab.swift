import LabKit
import Testing

/// Tests against a real kernel: one after another, since each takes a processor for itself.
@Suite(.serialized, .enabled(if: Lab.isExpected, Comment(rawValue: Lab.reason)))
enum KernelLab {}
