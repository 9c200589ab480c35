import LabKit
import Testing

/// Tests against a real kernel. How many run at a time is the lab's to say, so a time limit is for the wait as well.
@Suite(.enabled(if: Lab.isExpected, Comment(rawValue: Lab.reason)))
enum KernelLab {}
