"""What is measured of a model."""

from sklearn.metrics import accuracy_score, log_loss


def measured(model, features, labels):
    return {
        'accuracy': round(float(accuracy_score(labels, model.predict(features))), 6),
        'loss': round(float(log_loss(labels, model.predict_proba(features))), 6),
    }
