"""Models. Importing this package registers them, and MMPretrain's, for configs."""

import mmpretrain.models  # noqa: F401  registers the parent's modules
