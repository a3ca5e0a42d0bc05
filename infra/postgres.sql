-- Run once, when the volume is new. The database `mlops` is made by the image.
CREATE DATABASE mlflow;
CREATE DATABASE prefect;
