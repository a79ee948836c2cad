from django.urls import path

from . import views

urlpatterns = [
    path("orders", views.orders),
    path("orders/<str:id>", views.place),
    path("orders/<str:id>/pay", views.pay),
]
