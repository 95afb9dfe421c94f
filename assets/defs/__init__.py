"""What `dg` calls the defs folder: each folder below holds one `defs.yaml`, each module definitions of your own.

`datasets/` holds the dataset files' component. Assets of yours that read Lakegate's tables may stand here beside it: they are loaded with it.
"""
