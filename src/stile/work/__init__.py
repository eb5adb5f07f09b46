"""Durable background work: workflows that survive kill -9, subscriptions to events, schedules."""
