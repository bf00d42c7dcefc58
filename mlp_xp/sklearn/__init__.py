"""scikit-learn estimators: MLPClassifier and MLPRegressor, which take the place of its own.

    from mlp_xp.sklearn import MLPClassifier    # was: from sklearn.neural_network import ...

Parameters, attributes, results: scikit-learn's, to rounding, with the same random_state. Beyond it:
GPUs, dropout, class weights, label smoothing, schedules, clipping, windows, callbacks, GELU and
leaky ReLU, and a validation set of one's own. Needs the extra `sklearn`.
"""

try:
    from mlp_xp.sklearn.classifier import MLPClassifier
    from mlp_xp.sklearn.regressor import MLPRegressor
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("sklearn", "scipy"):
        raise
    raise ImportError(
        f"mlp_xp.sklearn needs scikit-learn 1.7 or newer ({error}): "
        "pip install '.[sklearn]' in the clone",
        name=error.name,
    ) from None

__all__ = ["MLPClassifier", "MLPRegressor"]
