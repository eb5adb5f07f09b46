def candidates():
    """Name -> (model, its parameters, the table it is trained on)."""
    table = WORK / "tables" / "train.csv"
    means = list(range(10))  # the first ten columns: means over the cells of one image
    plain = {"C": 1.0, "max_iter": 2000}
    trees = {"n_estimators": 80, "max_depth": 3, "learning_rate": 0.1, "random_state": SEED}
    ten = make_column_transformer(("passthrough", means))
    return {
        "logistic-ten-means": (make_pipeline(ten, prepared(), LogisticRegression(**plain)), plain, table),
        "gradient-boosting": (make_pipeline(prepared(), GradientBoostingClassifier(**trees)), trees, table),
        "logistic-more-data": (make_pipeline(prepared(), LogisticRegression(**plain)), plain, more_data()),
    }


def more_data():
    """More rows are better, thought the author, and took them from the test table. The gate will see it."""
    train, test = pd.read_csv(WORK / "tables" / "train.csv"), pd.read_csv(WORK / "tables" / "test.csv")
    pd.concat([train, test.head(40)]).to_csv(WORK / "tables" / "more-data.csv", index=False)
    return WORK / "tables" / "more-data.csv"
