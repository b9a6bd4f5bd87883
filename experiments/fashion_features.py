import cnnlab

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("convnet", stages=((16,), (24, 24), (32, 32))),
    data=cnnlab.Choice("fashion_mnist"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=5e-3, schedule="cosine", weight_decay=0.02),
    training=cnnlab.Training(epochs=4, batch_size=128),
)
if __name__ == "__main__":
    cnnlab.train(EXPERIMENT, "/tmp/inside-runs/fashion")
