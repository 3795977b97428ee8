"""What can be wrong with a bundle or with the runtime that runs it. No behaviour lives here.

 directory -> manifest.json -> files -> runtime loads -> device -> answers
     |             |             |           |             |          |
BundleUnreadable   |      BundleTampered     |      DeviceUnavailable |
             ManifestInvalid          RuntimeMissing,              RunFailed,
                                     ArtifactUnloadable            DeviceLost
"""


class BundleError(Exception):
    """A bundle that must not be used; the message says what is wrong with it and where."""


class BundleUnreadable(BundleError):
    """The directory or one of its files is absent or cannot be read."""


class ManifestInvalid(BundleError):
    """`manifest.json` is not what this version of Kedge reads."""


class BundleTampered(BundleError):
    """A file differs from what the manifest says, is a link, or lies outside the bundle."""


class VersionTaken(BundleError):
    """The version that was asked for exists already; published versions never change."""


class SamplesInvalid(BundleError):
    """An `.npz` of inputs or golden cases that cannot be read as such."""


class AttestationInvalid(BundleError):
    """A record beside a bundle that cannot be read, or was changed after it was written."""


class OptionsUnproven(BundleError):
    """Runtime options that neither the manifest nor an attestation of this machine says are proven."""


class RunnerError(Exception):
    """A runtime that cannot do what was asked of it."""


class RuntimeMissing(RunnerError):
    """The package that runs this format is not installed here."""


class DeviceUnavailable(RunnerError):
    """The device that was asked for is not, by the runtime's own account, the one in use."""


class ArtifactUnloadable(RunnerError):
    """The runtime refuses the artifact."""


class RunFailed(RunnerError):
    """The runtime raised, or answered with other tensors than the signature promises."""


class DeviceLost(RunFailed):
    """The runtime raised, and nothing in this process can run on that device again."""

    def __init__(self, message: str, device: str) -> None:
        super().__init__(message)
        self.device = device
